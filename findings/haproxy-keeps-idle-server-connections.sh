#!/usr/bin/env bash
# HAProxy does not end an idle connection to a server by `timeout server`, nor after one `pool-purge-delay`.
#
# Behaviour: a connection to a server that carries no request goes to a pool, where `timeout server` does not apply to it. Only the pool's purge
# ends it, which runs each `pool-purge-delay` and ends half of the connections that were not needed meanwhile: the only one of a server is
# there for more than one delay. Putting the server into `drain` does not touch it either, though no new request is sent there.
# Who waits for a drained server to have no connections waits for that, and not for `timeout server`.
#
# One would have guessed: it is closed when it has carried nothing for `timeout server`; if not, after one `pool-purge-delay`; and a server that
# drains keeps no idle connections.
#
# Versions: haproxy 2.6.12-1+deb12u4 of Debian 12. Seen on 2026-11-29.
set -euo pipefail

readonly version=2.6.12-1+deb12u4
dir=$(mktemp -d)
proxy=
trap 'if [ -n "$proxy" ]; then kill "$proxy" 2>/dev/null || true; wait "$proxy" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
chmod 755 "$dir" # apt downloads as a user of its own
cd "$dir"

apt-get download -qq "haproxy=$version" >/dev/null
dpkg-deb -x haproxy_*.deb root
"$dir/root/usr/sbin/haproxy" -v | sed -n 1p

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
front=$(free_port) back=$(free_port)

# The server is a second proxy of the same process, which keeps connections for a minute.
cat >haproxy.cfg <<CONF
global
	stats socket $dir/admin level admin
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout http-keep-alive 60s
	timeout server 1s
frontend front
	bind 127.0.0.1:$front
	default_backend servers
backend servers
	http-reuse always
	server one 127.0.0.1:$back pool-purge-delay 4s
frontend server
	bind 127.0.0.1:$back
	http-request return status 200 content-type text/plain string answer
CONF
"$dir/root/usr/sbin/haproxy" -db -f haproxy.cfg >log 2>&1 &
proxy=$!

# held: how many connections to the server are established, by its side.
held() { awk -v port="$(printf '%04X' "$back")" '$4 == "01" && $2 ~ ":" port "$" { n++ } END { print n + 0 }' /proc/net/tcp; }

# admin COMMAND: HAProxy's runtime API.
admin() { python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall((sys.argv[2] + "\n").encode()); print(s.recv(1 << 16).decode().strip())' "$dir/admin" "$1"; }

for _ in $(seq 100); do
	if curl -sf "http://127.0.0.1:$front/" >answer 2>/dev/null; then break; fi
	sleep 0.05
done
[ "$(cat answer)" = answer ]
began=$EPOCHREALTIME
age() { awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

admin 'set server servers/one state drain' >/dev/null
echo "timeout server 1s, pool-purge-delay 4s, the server drains; after $(age) s: $(held) connection"
sleep 2.5
after_timeout=$(held)
echo "after $(age) s, beyond timeout server: $after_timeout"
sleep 2.3
after_delay=$(held)
echo "after $(age) s, beyond one purge delay: $after_delay"
for _ in $(seq 200); do
	if [ "$(held)" = 0 ]; then break; fi
	sleep 0.1
done
gone=$(age)
echo "gone after $gone s"

if [ "$after_timeout" != 1 ] || [ "$after_delay" != 1 ] || ! awk -v g="$gone" 'BEGIN { exit !(g > 4.8 && g < 20) }'; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
echo 'idle connections to a server outlive its time-out, and a purge delay'
