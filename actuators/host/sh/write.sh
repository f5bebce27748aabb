# shellcheck shell=sh
# Replaces the record, durably, if it is still the old one, and reports. Arguments: the old one's checksum (empty: there is none), the
# new one without its last newline.
if [ ! -d "$dir/job" ]; then
	writable
	(umask 077 && mkdir -p "$dir/job") || fail $UNWRITABLE "$dir cannot be created"
fi
cd "$dir" || fail $UNWRITABLE "$dir cannot be entered"
if [ ! -w . ]; then fail $UNWRITABLE "$dir is not writable"; fi
lock
sum=
if [ -s record.json ]; then sum=$(sha256sum <record.json); fi
if [ "${sum%% *}" != "$4" ]; then fail $CHANGED 'the record is another one now'; fi
if ! printf '%s\n' "$5" >record.json.new || ! sync record.json.new; then
	rm -f record.json.new
	space 256
	fail $UNWRITABLE "$dir/record.json.new cannot be written"
fi
mv -f record.json.new record.json || fail $UNWRITABLE "$dir/record.json cannot be replaced"
sync . || fail $UNWRITABLE "$dir cannot be synced"
report
