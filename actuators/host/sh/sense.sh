# shellcheck shell=sh
# Lists who has connections to a service: a line each half second, until standard input ends. Changes nothing. Arguments: which sensor, the
# ports, from how many ms of silence on a connection does not count (0: each counts), the service's address and a pattern of the peers
# that do not count, both in the form that the awk program has addresses in: 4 and 8 hexadecimal digits, or 6 and 32.
PATH=$PATH:/usr/sbin:/sbin
sensor=$4 ports=$5 silent=$6 target=$7 ignored=$8

# usable COMMAND fails unless it is there.
usable() { command -v "$1" >/dev/null || fail $BLIND "$1 is not installed"; }

# Reads the node's own addresses, and then what a sensor lists. What it does not understand ends it with status 1, and its words are why:
# a list that is not whole is none. States are 3: open; 2: the peer has ended it, and somebody may yet be answered; 1: the service has, and only the
# peer has something to do, or it is silent; 0: it is over.
# shellcheck disable=SC2016 # awk's own $
program='
function bad(why) { failed = 1; print substr(why, 1, 200); exit 1 }
function odd(a) { bad("it lists the address " a) }
function four(a, b, i) {
	if (split(a, b, ".") != 4) odd(a)
	for (i = 1; i <= 4; i++) if (b[i] !~ /^[0-9][0-9]?[0-9]?$/ || b[i] + 0 > 255) odd(a)
	return sprintf("4%02x%02x%02x%02x", b[1], b[2], b[3], b[4])
}
function six(h) { return h ~ /^00000000000000000000ffff/ ? "4" substr(h, 25) : "6" h }
function groups(a, n, b, i, h) {
	n = split(a, b, ":")
	for (i = 1; i <= n; i++) {
		if (b[i] !~ /^[0-9a-f][0-9a-f]?[0-9a-f]?[0-9a-f]?$/) odd(a)
		h = h substr("0000" b[i], length(b[i]) + 1)
	}
	return h
}
function text(a, n, h, t) {
	gsub(/[][]|%.*/, "", a)
	a = tolower(a)
	if (a ~ /[.]/) { sub(/^::ffff:/, "", a); return four(a) }
	n = index(a, "::")
	h = groups(n ? substr(a, 1, n - 1) : a)
	t = n ? groups(substr(a, n + 2)) : ""
	while (n && length(h t) < 32) h = h "0000"
	if (length(h t) != 32) odd(a)
	return six(h t)
}
function word(h) { return substr(h, 7, 2) substr(h, 5, 2) substr(h, 3, 2) substr(h, 1, 2) }
function words(h) {
	h = tolower(h)
	if (h ~ /[^0-9a-f]/ || length(h) != 8 && length(h) != 32) odd(h)
	if (length(h) == 8) return "4" word(h)
	return six(word(h) word(substr(h, 9)) word(substr(h, 17)) word(substr(h, 25)))
}
function key(a) { if (!(a in keys)) keys[a] = part == "tcp" ? words(a) : text(a); return keys[a] }
function mine(k) { return k in here || k ~ ("^(" ranges ")") }
function foreign(k) { if (!(k in kinds)) kinds[k] = mine(k) ? 0 : k ~ ignored ? 1 : 2; return kinds[k] }
function note(port, k, from, state, kind) {
	kind = foreign(k)
	if (!kind && state % 2 && k !~ loop && substr(k, 1, 1) == substr(target, 1, 1) && listed++ < 1000) own[port] = own[port] "," from
	if (kind < 2) return
	others[port] = 1
	if (state > 1) { busy[port]++; peer[port] = k }
}
function named(state, names, n, s) { n = split(names, s, " "); while (n) states[s[n--]] = state }
function known(state) { if (!(state in states)) bad("it says: " $0); return states[state] }
function after(name) { return match(info, name ":[0-9]+") ? substr(info, RSTART + length(name) + 1, RLENGTH - length(name) - 1) + 0 : 0 }
function flush() {
	if (pending) {
		if (silent && after("lastsnd") >= silent && after("lastrcv") >= silent) state %= 2
		note(port, k, from, state)
	}
	pending = 0
}
function end(a) { sub(/.*:/, "", a); return a }
function start(a) { sub(/:[^:]*$/, "", a); return a }
function value(i, name) { if (index($i, name "=") != 1) bad("it says: " $0); return substr($i, length(name) + 2) }
BEGIN {
	loop = "^(47f|600000000000000000000000000000001)"
	ranges = "47f"
	named(3, "ESTAB SYN-RECV FIN-WAIT-1 01 03 04 0C SYN_SENT SYN_SENT2 SYN_RECV ESTABLISHED")
	named(2, "CLOSE-WAIT CLOSING LAST-ACK 08 09 0B FIN_WAIT CLOSE_WAIT LAST_ACK")
	named(1, "FIN-WAIT-2 05")
	named(0, "LISTEN TIME-WAIT SYN-SENT UNCONN CLOSED 06 02 07 TIME_WAIT CLOSE NONE")
	count = split(ports, p, " ")
	for (i = 1; i <= count; i++) {
		h = sprintf("%04X", p[i])
		wanted[p[i]] = hex[h] = p[i]
		pattern = pattern "|" h
	}
	pattern = "^ *[0-9]+: [0-9A-F]+:(" substr(pattern, 2) ") "
}
# First and without a look at its fields, since there may be very many lines of others.
part == "tcp" && $0 !~ pattern && !/^ *sl / { last = $0; next }
part == "own4" {
	if ($1 == "|--") a = $2
	if ($3 == "LOCAL" && $1 == "/32") here[four(a)] = 1
	else if ($3 == "LOCAL" && substr($1, 2) % 4 == 0) ranges = ranges "|" substr(four(a), 1, 1 + substr($1, 2) / 4)
	next
}
part == "own6" { here["6" $1] = 1; next }
$1 == "ended" { if ($2 != 0) bad("it ends with status " $2 ": " substr($0, 8 + length($2))); parts++; next }
{ last = $0 }
part == "ss" {
	if ($0 ~ /^[ \t]/) { info = info $0; next }
	flush()
	if ($1 == "State") next
	state = known($1)
	port = end($4)
	if ($1 == "LISTEN" || !(port in wanted)) next
	k = key(start($5))
	from = end($5)
	info = $0
	pending = 1
}
part == "tcp" {
	if ($1 == "sl") { parts++; next }
	if ($4 == "0A") next
	note(hex[end($2)], key(start($3)), end($3), known($4))
}
part == "flow" {
	if (/^ipv[46] / && $3 != "tcp") next
	for (i = 2; i < NF && $i !~ /^src=/; i++);
	# A flow that is offloaded tells no state.
	if (value(i + 3, "dport") in wanted && mine(key(value(i + 1, "dst"))))
		note(value(i + 3, "dport"), key(value(i, "src")), value(i + 2, "sport"), $(i - 1) ~ /^[0-9]+$/ ? 3 : known($(i - 1)))
}
END {
	if (failed) exit 1
	flush()
	if (parts != whole) bad("what it lists is not whole: " last)
	line = "sample " (mine(target) ? 1 : 0)
	for (i = 1; i <= count; i++)
		line = line " " p[i] " " busy[p[i]] + 0 " " others[p[i]] + 0 " " (busy[p[i]] ? peer[p[i]] : "-") " " (listed > 1000 ? "many" : own[p[i]] ? substr(own[p[i]], 2) : "-")
	print line
}
'

# count WHOLE FILE…: a sample, of what ends so many times.
count() {
	whole=$1
	shift
	LC_ALL=C awk -v whole="$whole" -v ports="$ports" -v silent="$silent" -v target="$target" -v ignored="$ignored" "$program" "$@" 2>&1
}

# told COMMAND…: what it lists, to descriptor 3, and then how it ended. What it says beside comes last: a list is written some KiB at a time, and
# would be torn by it.
told() {
	said=$("$@" 2>&1 >&3)
	# shellcheck disable=SC2086 # as one line
	echo ended $? $said >&3
}

# sockets lists those of the ports; the kernel leaves out all others.
sockets() {
	filter=
	for port in $ports; do filter="$filter${filter:+ or }sport = :$port"; done
	if [ "$silent" = 0 ]; then set -- -tan; else set -- -tani; fi
	told ss "$@" "( $filter )"
}

# flows lists the connections to the ports that are tracked, forwarded ones as well.
flows() {
	if ! command -v conntrack >/dev/null; then
		told cat /proc/net/nf_conntrack
		return
	fi
	for port in $ports; do
		for family in ipv4 ipv6; do
			told conntrack -L -f $family -p tcp --orig-port-dst "$port"
		done
	done
}

sample() {
	set -- part=own4 /proc/net/fib_trie
	if [ -e /proc/net/if_inet6 ]; then set -- "$@" part=own6 /proc/net/if_inet6; fi
	case $sensor in
	ss) sockets 3>&1 | count 1 "$@" part=ss - ;;
	conntrack) flows 3>&1 | count "$calls" "$@" part=flow - ;;
	*)
		if [ ! -e /proc/net/tcp6 ]; then
			count 1 "$@" part=tcp /proc/net/tcp
		else
			count 2 "$@" part=tcp /proc/net/tcp /proc/net/tcp6
		fi
		;;
	esac
}

usable awk
case $sensor in
ss) usable ss ;;
conntrack) # asking would load the module, and on old kernels begin to track
	if [ ! -e /proc/sys/net/netfilter/nf_conntrack_count ]; then fail $BLIND 'the kernel there does not track connections (conntrack)'; fi
	if [ "$(id -u)" != 0 ]; then fail $BLIND 'conntrack is for root there (ssh.sudo)'; fi
	calls=1
	if command -v conntrack >/dev/null; then
		calls=0
		for port in $ports; do calls=$((calls + 2)); done
	elif [ ! -e /proc/net/nf_conntrack ]; then
		usable conntrack
	fi
	;;
esac
begin
misses=0 most=1
while :; do
	if line=$(sample </dev/null); then
		printf '%s\n' "$line" || exit
		misses=0 most=4
	else
		misses=$((misses + 1))
		if [ $most = 1 ]; then fail $BLIND "$sensor does not work there: $line"; fi
		if [ $misses = $most ]; then fail $BROKEN "$sensor does not work there any more: $line"; fi
	fi
	timeout 0.5 cat >/dev/null # ends at once with standard input
	case $? in
	124 | 137 | 143) ;;
	*) exit ;;
	esac
done
