#!/usr/bin/env bash
# A rolling release, one node at a time, as an expert writes it for bash: one multiplexed connection to each node, all opened side by side
# before the first is needed; a remote call for each thing that must have happened before the next, and no more; a load balancer that is
# asked over its API with curl; waits that end as soon as what is waited for is there.
#
# Like windlass it writes down on each node, durably and before it acts, what it is about to do, so that somebody else could go on from
# there: four synced writes for each node.
#
# usage: rolling.sh RELEASE <nodes, where a line of nodes is: name, instance id, address
# It takes SSH_PORT, SSH_KEY, SSH_KNOWN_HOSTS, WEB_PORT, TARGET_GROUP (its name), STEPS (what configures a node, which finds the release
# in $WINDLASS_RELEASE) and AWS's usual variables, and prints a line for each node: its name, and when it began, was claimed, had left the
# balancer, was configured and verified, was back and checked, and was written down as proven; in seconds.
set -euo pipefail

release=$1
sockets=$(mktemp -d)
ssh=(ssh -o "ControlPath=$sockets/%C" -o "UserKnownHostsFile=$SSH_KNOWN_HOSTS" -o StrictHostKeyChecking=yes -o BatchMode=yes -p "$SSH_PORT" -i "$SSH_KEY")
nodes=()
trap 'hang_up; rm -rf "$sockets"' EXIT

hang_up() {
	local address
	for node in "${nodes[@]}"; do
		read -r _ _ address <<<"$node"
		"${ssh[@]}" -O exit "$address" 2>/dev/null || true
	done
}

# api ACTION NAME=VALUE… asks the load balancers.
api() {
	local action=$1 parameter
	local form=(-d "Action=$action" -d Version=2015-12-01)
	shift
	for parameter; do form+=(--data-urlencode "$parameter"); done
	curl -sSf --aws-sigv4 "aws:amz:$AWS_REGION:elasticloadbalancing" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "${form[@]}" "$AWS_ENDPOINT_URL/"
}

# await STATE: until the balancer says so of the node.
await() {
	until [[ $(api DescribeTargetHealth "TargetGroupArn=$group" "Targets.member.1.Id=$instance") == *"<State>$1</State>"* ]]; do sleep 0.01; done
}

# served: until the node itself answers with the release.
served() {
	until [[ $(curl -sS "http://$address:$WEB_PORT/version" 2>&1) == "$release" ]]; do sleep 0.01; done
}

# on COMMAND runs it on the node, after a durable write of what the node is at.
on() {
	local record
	printf -v record '{"fleet":"web","instance":"%s","claim":{"holder":"%s","pid":%s},"stage":"%s","release":"%s","at":%s,"group":"%s"}' \
		"$instance" "$HOSTNAME" $$ "$1" "$release" "${EPOCHREALTIME%.*}" "$group"
	"${ssh[@]}" "$address" "mkdir -p .rolling && cd .rolling && echo '$record' >record.new && sync record.new && mv -f record.new record && sync . && cd && $2"
}

group=$(api DescribeTargetGroups Names.member.1="$TARGET_GROUP")
group=${group#*<TargetGroupArn>}
group=${group%%</TargetGroupArn>*}

mapfile -t nodes
declare -A connecting
for node in "${nodes[@]}"; do
	read -r name _ address <<<"$node"
	"${ssh[@]}" -fMN "$address" >/dev/null &
	connecting[$name]=$!
done

for node in "${nodes[@]}"; do
	read -r name instance address <<<"$node"
	times=$EPOCHREALTIME
	wait "${connecting[$name]}"
	on leaving true
	times+=" $EPOCHREALTIME"

	api DeregisterTargets "TargetGroupArn=$group" "Targets.member.1.Id=$instance" "Targets.member.1.Port=$WEB_PORT" >/dev/null
	await unused
	times+=" $EPOCHREALTIME"

	on configuring "export WINDLASS_RELEASE=$release && $STEPS"
	served
	times+=" $EPOCHREALTIME"

	on verified true
	api RegisterTargets "TargetGroupArn=$group" "Targets.member.1.Id=$instance" "Targets.member.1.Port=$WEB_PORT" >/dev/null
	await healthy
	served
	times+=" $EPOCHREALTIME"

	on proven true
	echo "$name $times $EPOCHREALTIME"
done
