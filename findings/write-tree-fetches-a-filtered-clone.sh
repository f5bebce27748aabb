#!/usr/bin/env bash
# `git write-tree` in a clone without blobs fetches every blob that the index names.
#
# Behaviour: a clone made with --filter=blob:none gets blobs as they are looked at. A commit that is made beside the work tree, with an index of
# its own (read-tree, update-index --cacheinfo for one file, write-tree, commit-tree), looks at one blob. Yet write-tree makes sure that
# each object of the index is there, and has the remote send all that are not, in one go, before it writes the trees. With --missing-ok it
# fetches nothing, and writes the same tree.
#
# One would have guessed: nothing is fetched, as no content is needed to write a tree, and read-tree and update-index fetch nothing
# either. In a repo of large or of many files a commit of one line costs the download of all of them.
#
# Versions: git 1:2.39.5-0+deb12u3 of Debian 12. Seen on 2026-11-30.
set -euo pipefail

readonly version=1:2.39.5-0+deb12u3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir" # apt downloads as a user of its own
cd "$dir"

apt-get download -qq "git=$version" >/dev/null
dpkg-deb -x git_*.deb root
export GIT_EXEC_PATH="$dir/root/usr/lib/git-core" PATH="$dir/root/usr/bin:$PATH"
export HOME="$dir" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=somebody GIT_AUTHOR_EMAIL=somebody@example.org GIT_COMMITTER_NAME=somebody GIT_COMMITTER_EMAIL=somebody@example.org
git --version

readonly files=500
git init -q --template= -b main seed
for i in $(seq $files); do echo "file $i" >"seed/$i"; done
git -C seed add .
git -C seed commit -qm seed
git clone -q --template= --bare seed deploy.git
git -C deploy.git config uploadpack.allowFilter true

# blobs: how many of the clone's are here.
blobs() { git -C "$1" cat-file --batch-all-objects --batch-check='%(objecttype)' | grep -c blob || true; }

# commit CLONE OPTION…: the tree of a commit of one line, and how many blobs are there before and after it is written.
commit() {
	local clone=$1
	shift
	git clone -q --template= --filter=blob:none --no-checkout "file://$dir/deploy.git" "$clone"
	export GIT_INDEX_FILE="$dir/$clone.index"
	git -C "$clone" read-tree HEAD
	git -C "$clone" update-index --cacheinfo "100644,$(echo other | git -C "$clone" hash-object -w --stdin),1"
	before=$(blobs "$clone")
	tree=$(git -C "$clone" write-tree "$@")
	after=$(blobs "$clone")
	unset GIT_INDEX_FILE
	echo "write-tree $*: $before blob before, $after after"
}

commit plain
plain_tree=$tree plain_after=$after
if [ "$before" != 1 ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
commit lenient --missing-ok
if [ "$plain_after" != $files ] || [ "$after" != 1 ] || [ "$tree" != "$plain_tree" ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
echo 'to write a tree every blob of it was fetched'
