# shellcheck shell=sh
# Sets a corrupt record aside, if it is still the one that was read. Arguments: the checksum of as much as is ever read of one.
cd "$dir" || fail $UNWRITABLE "$dir cannot be entered"
lock
sum=$(head -c 65537 record.json | sha256sum)
if [ "${sum%% *}" != "$4" ]; then fail $CHANGED 'the record is another one now'; fi
mv -f record.json "record.json.corrupt-$(date -u +%Y%m%dT%H%M%SZ)" || fail $UNWRITABLE "$dir/record.json cannot be renamed"
report
