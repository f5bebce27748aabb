# shellcheck shell=sh
# Reports, then writes the record as it is, and a last line that tells a whole answer from one that has not all come yet. Changes nothing.
writable
report
if [ -s "$dir/record.json" ]; then head -c 65537 "$dir/record.json" || fail $UNWRITABLE "$dir/record.json cannot be read"; fi
printf '\nend\n'
