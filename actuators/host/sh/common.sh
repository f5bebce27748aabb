# shellcheck shell=sh
# What every script begins with. Arguments: login directory, state directory (absolute, or relative to it), fleet.
set -u

# fail CODE MESSAGE: the agent knows the code, a person the message.
fail() {
	printf 'windlass: %s\n' "$2" >&2
	exit "$1"
}

readonly CHANGED=80 UNWRITABLE=81 FULL=82 MISSING=83 BUSY=84 BROKEN=85 BLIND=86

case $2 in
/*) root=$2 ;;
*)
	if [ -z "$1" ]; then fail $BROKEN 'HOME is empty there; set ssh.stateDir to an absolute path'; fi
	root=$1/$2
	;;
esac
dir=$root/$3

for tool in cat date flock head mktemp setsid sha256sum stat sync tail timeout; do
	command -v "$tool" >/dev/null || fail $MISSING "$tool is not installed"
done

# writable fails unless the fleet's directory, or what it would be created in, can be written.
writable() {
	at=$dir
	while [ ! -e "$at" ] && [ -n "$at" ]; do at=${at%/*}; done
	if [ ! -d "${at:-/}" ] || [ ! -w "${at:-/}" ]; then fail $UNWRITABLE "${at:-/} is not writable"; fi
}

# space KB: fails unless so much, and some inodes, are free below the current directory. A filesystem that counts no inodes has enough.
space() {
	IFS=' ' read -r blocks size inodes free <<-END
		$(stat -f -c '%a %S %c %d' .)
	END
	if [ $((blocks * size / 1024)) -lt "$1" ]; then fail $FULL "$((blocks * size / 1024)) KB are free in $dir, $1 KB are needed"; fi
	if [ "$inodes" -gt 0 ] && [ "$free" -lt 64 ]; then fail $FULL "$free inodes are free in $dir, 64 are needed"; fi
}

# lock holds the fleet's lock on this node as descriptor 9 until unlock or the end of the script.
locked=
lock() {
	if [ -n "$locked" ]; then return; fi
	command exec 9>>"$dir/lock" || fail $UNWRITABLE "$dir/lock cannot be written"
	flock -w 10 9 || fail $BUSY "$dir/lock is held by another process"
	locked=yes
}

unlock() {
	exec 9>&-
	locked=
}

# first FILE…: the first line that one of them has.
first() {
	line=
	for file; do
		if read -r line <"$file" && [ -n "$line" ]; then return 0; fi
	done 2>/dev/null
	return 1
}

# ended KEY: the newest job is this one and has ended, with status $code.
ended() {
	first "$dir/job/current" && [ "$line" = "$1" ] && first "$dir/job/$1.exit" && code=$line
}

# begin sets what follows apart from what a login script has printed, maybe without a last newline.
begin() {
	printf '\nwindlass 1\n'
}

# report writes what the agent wants to know, a line each.
report() {
	begin
	if first "$root/machine-id" /etc/machine-id /var/lib/dbus/machine-id; then printf 'machine %s\n' "$line"; fi
	date '+now %s.%N'
	if first "$dir/job/current"; then job "$line"; fi
	echo end
}

# job KEY reports the newest job. Whoever runs it holds the lock on job/, so that a dead one is told from a slow one, after a reboot too;
# a file to lock could be tidied away.
job() {
	if ended "$1"; then
		echo "job $1 exited $code"
	elif ! flock -n -s 7 7<"$dir/job"; then
		code=running
		echo "job $1 running 0"
	elif ended "$1"; then
		echo "job $1 exited $code"
	else
		code=interrupted
		echo "job $1 interrupted 0"
	fi
	if [ "$code" = 0 ]; then return; fi
	if first "$dir/job/$1.step"; then printf 'step %s\n' "$line"; fi
	# More than is shown: a secret that begins before that is known by its beginning.
	tail -q -c 12288 "$dir/job/$1.output" "$dir/job/$1.output.end" 2>/dev/null | tail -c 12288 | sed 's/^/|/;$s/$/\n/'
}
