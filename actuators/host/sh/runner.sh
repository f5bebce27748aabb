# shellcheck shell=sh
# Runs a job: detached, in a session of its own, its output a pipe, the lock on job/ held as descriptor 8. Arguments: the fleet's directory, what
# the names of the job's files begin with, the directory steps run in; a count and NAME=value of each variable; a count and (name, time-out in seconds, command) of each step
# that comes before the files; a count and (path, mode, owner, checksum) of each file; the other steps.
dir=$1 job=$2 where=$3
shift 3

# finish CODE writes how the job ended. After a failure it waits, not for long, until the last lines are in the output file: a child in the
# background may hold the pipe open for ever.
finish() {
	if [ "$1" != 0 ]; then
		exec >/dev/null 2>&1
		tries=0
		while [ ! -e "$job.drained" ] && [ $tries -lt 20 ]; do
			sleep 0.05
			tries=$((tries + 1))
		done
	fi
	echo "$1" >"$job.exit"
	exit
}

# same STAGED PATH MODE OWNER SUM: the path is what it should be.
same() {
	if [ ! -f "$2" ] || [ -L "$2" ]; then return 1; fi
	sum=$(sha256sum <"$2")
	if [ "${sum%% *}" != "$5" ]; then return 1; fi
	IFS=' ' read -r mode names numbers <<-END
		$(stat -c '%a %U:%G %u:%g' "$2")
	END
	if [ "$((0$mode))" != "$((0$3))" ]; then return 1; fi
	case $4 in
	'') [ -O "$2" ] ;;
	"$names" | "$numbers" | "${names%:*}" | "${numbers%:*}") ;;
	*) return 1 ;;
	esac
}

# place STAGED PATH MODE OWNER SUM puts a file where it belongs. A disk that is full or read-only is no failure of the job's: what is
# said of it is left for who reads how the job ended, which is not at all.
place() {
	if same "$@"; then return; fi
	parent=${2%/*}/
	if [ ! -d "$parent" ]; then
		printf '%s\n' "windlass: cannot place $2: directory $parent does not exist; create it in a prepare step"
		return 1
	fi
	if said=$(export LC_ALL=C && put "$@" 2>&1); then return; fi
	printf '%s\n' "$said"
	case $said in
	*'No space left on device'* | *'Disk quota exceeded'* | *'Read-only file system'*)
		printf 'cannot place %s: %s\n' "$2" "${said##*: }" >"$job.disk"
		exit
		;;
	esac
	return 1
}

# put STAGED PATH MODE OWNER replaces a file at once and durably.
put() {
	temporary=$(mktemp "$parent.${2##*/}.XXXXXX") || return 1 # hidden from what reads all of a conf.d
	if cat "$1" >"$temporary" && { [ -z "$4" ] || chown -- "$4" "$temporary"; } && chmod -- "$3" "$temporary" &&
		sync "$temporary" && mv -fT -- "$temporary" "$2" && sync "$parent"; then return; fi
	rm -f "$temporary"
	return 1
}

# timed_out LIMIT CODE: a step that ended so was ended by its time-out. 137 is also what somebody else's SIGKILL leaves, but not so late.
timed_out() {
	case $2 in
	124) return 0 ;;
	137) [ $(($(date +%s) - $(stat -c %Y "$job.step"))) -ge "${1%.*}" ] ;;
	*) return 1 ;;
	esac
}

# What a step begins with. timeout leads its process group, and keeps the lock so that the job counts as running even when this shell is
# killed; the step itself, and any service it starts, must not have it.
# shellcheck disable=SC2016 # expands in the step
leave='echo "$PPID" >"$WINDLASS_DIR/job/group"; exec 8>&-'

# step NAME LIMIT COMMAND runs a step, and ends the job when it fails.
step() {
	printf '%s\n' "$1" >"$job.step"
	(cd "${where:-$dir}" && exec timeout -k 10 "$2" sh -c "$leave; $3") </dev/null
	code=$?
	true >"$dir/job/group"
	if timed_out "$2" $code; then
		printf '%s\n' "windlass: step $1 was ended after $2 s, its time-out"
		code=124
	fi
	if [ $code != 0 ]; then finish $code; fi
}

count=$1
shift
while [ "$count" -gt 0 ]; do
	count=$((count - 1))
	export "${1?}"
	shift
done
export WINDLASS_DIR="$dir"

count=$1
shift
while [ "$count" -gt 0 ]; do
	count=$((count - 1))
	step "$1" "$2" "$3"
	shift 3
done

count=$1 i=0
shift
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	printf 'place %s\n' "$1" >"$job.step"
	place "$job.files/$i" "$1" "$2" "$3" "$4" || finish 1
	shift 4
done

while [ $# -gt 0 ]; do
	step "$1" "$2" "$3"
	shift 3
done
finish 0
