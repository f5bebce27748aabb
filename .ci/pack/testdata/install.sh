#!/bin/sh
# Install, upgrade, remove and purge a package in a root of its own: this machine's, with a layer on top that is thrown away.
# Run in a mount and a pid namespace of its own.
# shellcheck disable=SC2016 # ${Version} and the like are dpkg-query's
# usage: install.sh DIRECTORY OLDER.deb NEWER.deb
set -eu
dir=$1 older=$2 newer=$3

mount -t tmpfs layer "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
root=$dir/root
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmp "$root/tmp"
mount -t tmpfs run "$root/run"
rm -f "$root/var/lib/man-db/auto-update" # its trigger reads all manual pages again, three times
cp "$older" "$root/tmp/older.deb"
cp "$newer" "$root/tmp/newer.deb"

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }
fail() { echo "FAIL: $*"; exit 1; }
enabled() { in_root systemctl is-enabled windlass.service || true; }
expect() { [ "$2" = "$3" ] || fail "$1: $2, want $3"; }

echo "# install"
said=$(in_root dpkg -i /tmp/older.deb)
echo "$said"
case $said in *"to begin, copy"*) ;; *) fail "nobody is told how to begin" ;; esac
expect "the unit is" "$(enabled)" enabled
expect "conffiles" "$(in_root dpkg-query -W -f '${Conffiles}' windlass)" ""
expect "files that differ from the package's" "$(in_root dpkg --verify windlass)" ""
expect "the user" "$(in_root getent passwd windlass | cut -d: -f1,6,7)" "windlass:/var/lib/windlass:/usr/sbin/nologin"
expect "the user's password" "$(in_root getent shadow windlass | cut -d: -f2 | cut -c1)" '!'
in_root /usr/bin/windlass version
in_root MANWIDTH=200 man -P cat windlass-run | grep -qF "windlass $(dpkg-deb -f "$newer" Version)" || fail "no manual page, or one of another version"
in_root bash -c '. /usr/share/bash-completion/completions/windlass && complete -p windlass' >/dev/null || fail "no completion"
[ -z "$(ls -A "$root/etc/windlass")" ] || fail "the package put something into /etc/windlass"

echo "# the example starts as far as the deploy repo, as the service's user"
install -d -o 0 -m 0755 "$root/etc/windlass"
in_root install -d -o windlass -g windlass -m 0700 /var/lib/windlass
sed -e 's|^repo:.*|repo: /nowhere|' -e '/^git-token-file/d' -e '/^ssh-/d' "$root/usr/share/doc/windlass/examples/windlass.yaml" >"$root/etc/windlass/windlass.yaml"
in_root setpriv --reuid windlass --regid windlass --clear-groups windlass plan --config /etc/windlass/windlass.yaml 2>&1 | grep -q /nowhere || fail "the example is not understood"

echo "# upgrade of a service that its administrator disabled"
in_root systemctl disable windlass.service 2>/dev/null
in_root dpkg -i /tmp/newer.deb
expect "the unit that was disabled is" "$(enabled)" disabled
grep -q '^repo: /nowhere' "$root/etc/windlass/windlass.yaml" || fail "the configuration was replaced"
[ "$(in_root dpkg-query -W -f '${Version}' windlass)" = "$(dpkg-deb -f "$newer" Version)" ] || fail "it is not the newer one"
in_root systemctl enable windlass.service 2>/dev/null
in_root dpkg -i /tmp/newer.deb
expect "the unit that was enabled is" "$(enabled)" enabled

echo "# remove"
in_root dpkg -r windlass
[ ! -e "$root/usr/bin/windlass" ] || fail "the program is still there"
if [ ! -e "$root/etc/windlass/windlass.yaml" ] || [ ! -d "$root/var/lib/windlass" ]; then fail "a removal takes what a later installation needs"; fi

echo "# purge, with a configuration"
said=$(in_root dpkg -P windlass)
echo "$said"
case $said in *"/etc/windlass/windlass.yaml"*) ;; *) fail "it does not tell what it leaves" ;; esac
[ ! -e "$root/var/lib/windlass" ] || fail "the state is still there"
[ -e "$root/etc/windlass/windlass.yaml" ] || fail "somebody's configuration is gone"
in_root getent passwd windlass >/dev/null || fail "the owner of somebody's files is gone"

echo "# installed again and purged, without"
rm -r "$root/etc/windlass"
in_root dpkg -i /tmp/newer.deb
in_root dpkg -P windlass

# What dpkg and the tools it calls keep for themselves.
kept='^/var/lib/dpkg/|^/var/lib/man-db/|^/var/log/|^/var/cache/|^/etc/(passwd|shadow|group|gshadow|subuid|subgid)-$|^/etc/\.pwd\.lock$|^/var/lib/systemd/deb-systemd-helper'
cd "$dir/upper"
find . ! -type d -printf '/%P\n' | sort | while read -r file; do
	if [ -c ".$file" ] && [ ! -e "/$file" ]; then continue; fi # it came and went
	if cmp -s ".$file" "$file" 2>/dev/null; then continue; fi
	echo "$file"
done | grep -Ev "$kept" >"$dir/left" || true
find . -type d -printf '/%P\n' | while read -r made; do [ -d "$made" ] || echo "$made/"; done | grep -Ev "$kept" >>"$dir/left" || true
[ ! -s "$dir/left" ] || fail "left behind: $(cat "$dir/left")"
echo "# nothing left"
