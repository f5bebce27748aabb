# shellcheck shell=sh
# Runs a health check's command. One that outlives its time-out has half a second to end when asked to: a probe waits for
# little more. Arguments: its time-out in seconds, the command, NAME=value for its environment ….
limit=$4 run=$5
shift 5
for pair; do export "${pair?}"; done
begin
timeout -k 0.5 "$limit" sh -c "$run" 2>&1 </dev/null || exit # a time-out that has to kill kills itself too: this shell is there to tell
