# shellcheck shell=sh
# Follows write.sh: starts a job under the lock that the record was written under, or attaches to it, and reports when it has ended.
# Arguments, after those of write.sh: key, the claim's nonce, free KB it needs, its time limit in seconds, the runner script, the sizes of
# the files on standard input; then what the runner takes.
shift 5
key=$1 nonce=$2 need=$3 limit=$4 runner=$5 sizes=$6
shift 6

if [ ! -w job ]; then fail $UNWRITABLE "$dir/job is not writable"; fi

# receive stages the files while no lock is held, so that a connection lost in the middle holds up nobody.
receive() {
	stage=job/.stage-$key-$$
	if [ -z "$sizes" ]; then return; fi
	unlock
	mkdir -m 700 "$stage" || fail $UNWRITABLE "$dir/$stage cannot be created"
	i=0
	for size in $sizes; do
		i=$((i + 1))
		head -c "$size" >"$stage/$i" || fail $FULL "$dir/$stage/$i cannot be written"
	done
	if ! read -r line || [ "$line" != end ]; then
		rm -rf "$stage"
		fail $BROKEN 'the files did not arrive whole'
	fi
}

# claimed fails unless the record carries the nonce in a claim that has not expired by this node's clock.
claimed() {
	held='' until=''
	while read -r word value; do
		case $word in
		'"nonce":') held=$value ;;
		'"expires":') until=$value && break ;;
		esac
	done <record.json
	if [ "$held" != "\"$nonce\"," ]; then fail $CHANGED 'the claim is not ours any more'; fi
	until=${until#\"} && until=${until%%[.Z]*}
	IFS='-:T' read -r year month day hour minute second <<-END
		$until
	END
	if [ "$(date -u +%Y%m%d%H%M%S)" -ge "$year$month$day$hour$minute$second" ]; then fail $CHANGED "our claim expired at $until"; fi
}

# start runs the job detached, and returns when it has ended. Descriptor 8, the lock on job/lock, passes to the runner; as soon as
# job/current names the job, it counts as running, and the record may be written again while it runs. The runner is in the foreground here
# because a shell makes what it starts in the background deaf to SIGINT, and with it every service that a step starts.
start() {
	prune
	if [ -e "job/$key.limit" ]; then rm -rf "job/$key".*; fi
	if [ -n "$sizes" ]; then mv "$stage" "job/$key.files" || fail $BROKEN 'the staged files are gone'; fi
	if ! echo "$limit" >"job/$key.limit" || ! echo "$key" >job/current; then
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
	cat >"job/$key.output" || tail -c 65536 >"job/$key.output.end"
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
	if ! first job/current || ! first "job/$line.limit"; then line=$limit; fi
	if flock -s -w "$line" 7 7<job/lock; then return; fi
	if first job/current && first job/group; then kill -s KILL -- "-$line"; fi
	flock -s -w 10 7 7<job/lock || fail $BUSY 'the job before does not end, not even when killed'
}

if ! ended "$key"; then
	space "$need"
	receive
fi
while ! ended "$key"; do
	lock
	command exec 8>>job/lock || fail $UNWRITABLE "$dir/job/lock cannot be written"
	if flock -n 8; then
		if ended "$key"; then break; fi # just now: only who holds the lock knows that it does not run
		claimed
		start "$@"
		break
	fi
	exec 8>&-
	unlock
	await
done
begin
job "$key"
echo end
