# shellcheck shell=sh
# Runs a health check's command. Arguments: its time-out in seconds, the command, NAME=value for its environment ….
limit=$4 run=$5
shift 5
for pair; do export "${pair?}"; done
begin
exec timeout -k 1 "$limit" sh -c "$run" 2>&1 </dev/null
