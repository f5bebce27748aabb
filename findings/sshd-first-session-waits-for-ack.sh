#!/usr/bin/env bash
# OpenSSH's server answers the first session of a connection some 40 ms late, on a network of any speed.
#
# Behaviour: right after the login sshd announces its host keys and sends two messages about the key's options, all small and unasked for, and only
# when a session's command begins does it turn Nagle's algorithm off. The second message, and behind it the answer to a client that opens a
# session at once, wait for the client to acknowledge what came before them; the client has nothing to send until it has that answer, and
# Linux holds a bare acknowledgement back for 40 ms. OpenSSH's own client waits as well; a second session does not. A client that asks for
# TCP_QUICKACK after each read (the kernel forgets it) is answered in a tenth of the time.
#
# One would have guessed: both sides set TCP_NODELAY, as golang.org/x/crypto's connections from Go's net do, so nothing is held back.
#
# Versions: openssh-server 1:9.2p1-2+deb12u10 of Debian 12, golang.org/x/crypto v0.58.0. 10.0p2 of Debian 13 answers at once (tried by hand).
# Seen on 2026-11-30.
set -euo pipefail

readonly version=1:9.2p1-2+deb12u10
dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
chmod 755 "$dir" # apt downloads as a user of its own
cd "$dir"

apt-get download -qq "openssh-server=$version" >/dev/null
dpkg-deb -x openssh-server_*.deb root
"$dir/root/usr/sbin/sshd" -V 2>&1 | sed -n 1p
if [ "$(id -u)" = 0 ]; then mkdir -p /run/sshd; fi # where sshd separates its privileges

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f key
cat >config <<CONF
ListenAddress 127.0.0.1:$port
HostKey $dir/host
AuthorizedKeysFile $dir/key.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
CONF
"$dir/root/usr/sbin/sshd" -D -e -f config >log 2>&1 &
server=$!

cat >go.mod <<'MOD'
module firstsession

go 1.26

require golang.org/x/crypto v0.58.0
MOD
cat >main.go <<'GO'
// Connects twelve times and prints the medians, in ms, of how long the first and the second session of a connection take to open.
package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// quick acknowledges what it reads at once.
type quick struct{ *net.TCPConn }

func (c quick) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	}
	return n, err
}

func main() {
	address, user, keyFile := os.Args[1], os.Args[2], os.Args[3]
	key := must(os.ReadFile(keyFile))
	signer := must(ssh.ParsePrivateKey(key))
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	for _, kind := range []string{"plain", "quick"} {
		var times [2][]time.Duration
		for range 12 {
			conn := must(net.Dial("tcp", address))
			if kind == "quick" {
				conn = quick{conn.(*net.TCPConn)}
			}
			sc, channels, requests, err := ssh.NewClientConn(conn, address, config)
			if err != nil {
				panic(err)
			}
			client := ssh.NewClient(sc, channels, requests)
			for i := range times {
				began := time.Now()
				session := must(client.NewSession())
				times[i] = append(times[i], time.Since(began))
				if err := session.Run("exit 0"); err != nil {
					panic(err)
				}
			}
			client.Close()
		}
		for _, t := range times {
			slices.Sort(t)
		}
		fmt.Printf("%s %d %d\n", kind, times[0][len(times[0])/2].Milliseconds(), times[1][len(times[1])/2].Milliseconds())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
GO
export GOFLAGS=-mod=mod GOMODCACHE="$dir/modules"
go build -o sessions . 2>/dev/null
for _ in $(seq 100); do
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
	sleep 0.05
done
./sessions "127.0.0.1:$port" "$(id -un)" key >seen
while read -r kind first second; do echo "$kind: the first session opens in $first ms, the second in $second ms"; done <seen

read -r _ first second <seen
quick=$(awk '$1 == "quick" { print $2 }' seen)
if [ "$first" -lt 30 ] || [ "$second" -ge 20 ] || [ "$quick" -ge 20 ]; then
	echo 'the behaviour has changed' >&2
	exit 1
fi
echo 'the first session waits for an acknowledgement that nobody sends'
