# shellcheck shell=sh
# Follows write.sh: starts a job under the lock that the record was written under, or attaches to it, and reports when it has ended.
# Arguments, after those of write.sh: key, free KB it needs, its time limit in seconds, the runner script, the sizes of the files on
# standard input; then what the runner takes.
written=$5
shift 5
key=$1 need=$2 limit=$3 runner=$4 sizes=$5
shift 5

if [ ! -w job ]; then fail $UNWRITABLE "$dir/job is not writable"; fi

# receive stages the files while no lock is held, so that a connection lost in the middle holds up nobody.
receive() {
	stage=
	if [ -z "$sizes" ]; then return; fi
	unlock
	stage=$(mktemp -d job/.stage-XXXXXX) || fail $UNWRITABLE "$dir/job/.stage-… cannot be created"
	i=0
	for size in $sizes; do
		i=$((i + 1))
		if ! head -c "$size" >"$stage/$i"; then
			rm -rf "$stage"
			fail $FULL "$dir/$stage/$i cannot be written"
		fi
	done
	if ! read -r line || [ "$line" != end ]; then
		rm -rf "$stage"
		fail $BROKEN 'the files did not arrive whole'
	fi
}

# claimed fails unless the record is the one that this call wrote, but for its claim's expiry, which renewals move, and that has not
# come by this node's clock. The agent that wrote another one has given this call up, even if the claim is still its own.
claimed() {
	expiry='"expires": "' # a line of its own: within a JSON string, quotes are escaped
	held=$(cat record.json)
	until=${held#*"$expiry"} && until=${until%%\"*}
	ours=${written#*"$expiry"} && ours=${ours%%\"*}
	if [ "${held%%"$expiry"*}" != "${written%%"$expiry"*}" ] || [ "${held#*"$expiry$until"}" != "${written#*"$expiry$ours"}" ]; then
		fail $CHANGED 'the record is another one now'
	fi
	until=${until%%[.Z]*}
	IFS='-:T' read -r year month day hour minute second <<-END
		$until
	END
	if [ "$(date -u +%Y%m%d%H%M%S)" -ge "$year$month$day$hour$minute$second" ]; then fail $CHANGED "our claim expired at $until"; fi
}

# start runs the job detached, and returns when it has ended. Descriptor 8, the lock on job/, passes to the runner; as soon as
# job/current names the job, it counts as running, and the record may be written again while it runs. The runner is in the foreground here
# because a shell makes what it starts in the background deaf to SIGINT, and with it every service that a step starts.
start() {
	prune
	for left in "job/$key".*; do # of a try that was cut off, however early
		if [ -e "$left" ]; then rm -rf "$left"; fi
	done
	if [ -n "$stage" ]; then mv -T "$stage" "job/$key.files" || fail $BROKEN 'the staged files are gone'; fi
	if ! echo "$limit" >"job/$key.limit" || ! true >job/group || ! echo "$key" >job/current; then
		space "$need"
		fail $UNWRITABLE "$dir/job cannot be written"
	fi
	unlock
	setsid sh -c "$runner" windlass-job "$dir" "$dir/job/$key" "$@" </dev/null 2>&1 |
		{ { exec <&3 3<&- 8>&- >/dev/null 2>&1 && drain; } & } 3<&0
	exec 8>&-
}

# drain keeps the first MiB of a job's output as it comes, and of the rest the last 64 KiB.
drain() {
	trap '' XFSZ
	ulimit -f 2048 # of 512 bytes; writing on is then an error
	cat >"job/$key.output" || tail -c 65536 >"job/$key.output.end" || cat # a step must not fail because nobody reads
	: >"job/$key.drained"
}

# prune leaves the newest few jobs, and no files whose job never began.
prune() {
	for old in job/.stage-*; do
		if [ -e "$old" ] && [ "$old" != "$stage" ]; then rm -rf "$old"; fi
	done
	count=0
	for old in job/*.limit; do count=$((count + 1)); done
	if [ "$count" -le 16 ]; then return; fi
	# shellcheck disable=SC2012 # keys are [a-z0-9-]
	for old in $(ls -t job/*.limit | tail -n +5); do rm -rf "${old%limit}"*; done
}

# await blocks until the newest job has ended. Its time-outs are enforced by its runner; one that outlives all of them while we watch is
# killed.
await() {
	first job/current
	watched=$line
	first "job/$watched.limit" || line=$limit
	if flock -s -w "$line" 7 7<job; then return; fi
	lock # so that no other job begins just now
	first job/current
	if [ "$line" != "$watched" ]; then return; fi
	if first job/group && [ "$line" -gt 1 ]; then kill -s KILL -- "-$line"; fi
	flock -s -w 10 7 7<job || fail $BUSY 'the job before does not end, not even when killed'
}

if ! ended "$key"; then
	space "$need"
	receive
fi
while ! ended "$key"; do
	lock
	command exec 8<job || fail $UNWRITABLE "$dir/job cannot be read"
	if flock -n 8; then
		if ended "$key"; then break; fi # just now: only who holds the lock knows that it does not run
		claimed
		start "$@"
		break
	elif [ $? != 1 ]; then
		fail $BROKEN "$dir/job cannot be locked, as on a network disk; set ssh.stateDir to a directory on a disk of its own"
	fi
	exec 8>&-
	unlock
	await
done
if ! ended "$key" && first "job/$key.disk"; then fail $BROKEN "$line"; fi
begin
job "$key"
echo end
