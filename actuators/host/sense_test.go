package host_test

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/actuators/host"
)

// What a node sends that is no list of samples is an error, and never an empty sample; and it is not kept.
func TestHostileSensors(t *testing.T) {
	t.Parallel()
	const (
		hello = "windlass 1\n"
		empty = "sample 1 80 0 0 - -\n"
	)
	forever := func(text string) func(ssh.Channel, func(int)) {
		return func(c ssh.Channel, _ func(int)) {
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}
	}
	say := func(text string, status int) func(ssh.Channel, func(int)) {
		return func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, text); done(status) }
	}
	silent := func(text string) func(ssh.Channel, func(int)) {
		return func(c ssh.Channel, _ func(int)) { _, _ = io.WriteString(c, text) }
	}
	for name, c := range map[string]struct {
		exec    func(ssh.Channel, func(int))
		want    string
		samples int
	}{
		"garbage":            {silent(hello + "sample 1 80 0 0 -\n"), "it sends \"sample 1 80 0 0 -\" where a sample is due", 0},
		"another port":       {silent(hello + "sample 1 81 0 0 - -\n"), "where a sample is due", 0},
		"garbage later":      {silent(hello + empty + "\x1b[2J\n"), "where a sample is due", 1},
		"a flood of samples": {func(c ssh.Channel, done func(int)) { say(hello, 0)(c, func(int) {}); forever(empty)(c, done) }, "no list of samples, or has no end", 20},
		"a line without end": {func(c ssh.Channel, done func(int)) {
			say(hello, 0)(c, func(int) {})
			forever(strings.Repeat("x", 1<<14))(c, done)
		}, "no list of samples, or has no end", 0},
		"greetings without end": {forever("hello\n"), "prints without end", 0},
		"silence":               {silent(hello + empty), "it sent no sample in time", 1},
		"an end":                {say(hello+empty, 0), "not whole", 1},
		"a torn sample":         {say(hello+empty+"sample 1 80 0 0 - -", 0), "not whole", 1},
		"a failure":             {func(c ssh.Channel, done func(int)) { fmt.Fprintln(c.Stderr(), "windlass: it broke"); done(85) }, "it broke", 0},
		"no shell":              {say("", 1), "needs a login shell that runs commands as sh does", 0},
		"no status":             {func(c ssh.Channel, _ func(int)) { c.Close() }, "the connection was lost", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := (&villain{exec: c.exec}).start(t)
			at.SSH.ConnectTimeout = time.Second
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := sense(t, trusting(t, host.Options{}), at, serviceAt("10.0.0.1", 80))
			w.wrong(c.want)
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
				t.Errorf("%d MB are kept", grown>>20)
			}
			if len(w.samples) > c.samples+1 {
				t.Errorf("%d samples", len(w.samples))
			}
			for len(w.samples) > 0 {
				if s := <-w.samples; s.Sees || s.Busy != 0 || s.Blind != "" {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// No sensor that works: blind, with all the reasons.
func TestNoSensorWorks(t *testing.T) {
	t.Parallel()
	at := (&villain{exec: func(c ssh.Channel, done func(int)) {
		fmt.Fprintln(c.Stderr(), "windlass: it is not installed")
		done(86)
	}}).start(t)
	sense(t, trusting(t, host.Options{}), at, serviceAt("10.0.0.1", 80)).blind("it is not installed; it is not installed; it is not installed")
}

func serviceAt(address string, ports ...int) actuators.Service {
	return actuators.Service{Address: netip.MustParseAddr(address), Ports: ports}
}

// What ss prints is understood whatever its version, by any awk, or refused.
func TestWhatSsPrints(t *testing.T) {
	t.Parallel()
	const (
		details = "\t cubic wscale:7,7 rto:204 lastsnd:3404 lastrcv:3404 lastack:20 pacing_rate 1bps\n"
		active  = "\t cubic lastsnd:3404 lastrcv:2996\n"
		nothing = "8080 0 0 - -"
		one     = "8080 1 1 40a090002 -"
		seen    = "8080 0 1 - -"
	)
	for name, c := range map[string]struct{ out, want string }{
		"nothing":                    {"", nothing},
		"a header":                   {"State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n", nothing},
		"listens":                    {"LISTEN 0 128 *:8080 *:*\nLISTEN 0 128 0.0.0.0:8080 0.0.0.0:*\n", nothing},
		"IPv4":                       {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"mapped":                     {"ESTAB 0 0 [::ffff:10.9.0.1]:8080 [::ffff:10.9.0.2]:46510\n", one},
		"mapped, old":                {"ESTAB      0      0      ::ffff:10.9.0.1:8080                 ::ffff:10.9.0.2:46510              \n", one},
		"IPv6":                       {"ESTAB 0 0 [fd00::1]:8080 [fd00::a:2]:46510 users:((\"x\",pid=1,fd=2))\n", "8080 1 1 6fd0000000000000000000000000a0002 -"},
		"IPv6, old":                  {"ESTAB 0 0 fd00::1:8080 1:2:3:4:5:6:7:8:46510\n", "8080 1 1 600010002000300040005000600070008 -"},
		"link-local":                 {"CLOSING 0 0 [fe80::1]%eth0:8080 [fe80::2%eth0]:46510\n", "8080 1 1 6fe800000000000000000000000000002 -"},
		"loopback":                   {"ESTAB 0 0 127.0.0.1:8080 127.0.0.9:46510\nESTAB 0 0 [::1]:8080 [::1]:46510\n", nothing},
		"another port":               {"ESTAB 0 0 10.9.0.1:80 10.9.0.2:8080\n", nothing},
		"silent":                     {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n" + details, seen},
		"silent, on a line":          {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510 " + strings.TrimSpace(details) + "\n", seen},
		"silent one way":             {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n" + active, one},
		"silent not long enough":     {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n\t lastsnd:2999 lastrcv:2999\n", one},
		"details without silence":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n\t cubic\n", one},
		"the other one is silent":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.9:46510\n" + details + "ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46511\n", one},
		"the first one is not":       {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\nESTAB 0 0 10.9.0.1:8080 10.9.0.9:46511\n" + details, one},
		"silent while it ends":       {"CLOSE-WAIT 1 0 10.9.0.1:8080 10.9.0.2:46510\n" + details, seen},
		"SYN-RECV":                   {"SYN-RECV 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"FIN-WAIT-1":                 {"FIN-WAIT-1 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"LAST-ACK":                   {"LAST-ACK 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"FIN-WAIT-2":                 {"FIN-WAIT-2 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"TIME-WAIT":                  {"TIME-WAIT 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"the service's own":          {"ESTAB 0 0 10.9.0.1:8080 10.9.0.1:46510\n", "8080 1 1 40a090001 -"}, // which is none of this machine's
		"ignored":                    {"ESTAB 0 0 10.9.0.1:8080 10.10.255.2:46510\n", nothing},
		"a state that there is not":  {"NEW 0 0 10.9.0.1:8080 10.9.0.2:46510\n", ""},
		"an address that is none":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.256:46510\n", ""},
		"an address that is too old": {"ESTAB 0 0 10.9.0.1:8080 1:2:3:4:5:6:7:46510\n", ""},
		"words":                      {"Cannot open netlink socket: Permission denied\n", ""},
		"a name":                     {"ESTAB 0 0 10.9.0.1:8080 host.example:46510\n", ""},
		"a failure":                  {"ended 3\n", ""},
	} {
		for _, awk := range []string{"mawk", "busybox", "gawk", "original-awk"} {
			path, err := exec.LookPath(awk)
			if err != nil {
				continue // the machine's own is one of them
			}
			t.Run(name+" "+awk, func(t *testing.T) {
				t.Parallel()
				bin := t.TempDir()
				if err := os.Symlink(path, filepath.Join(bin, "awk")); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(bin, "out"), c.out)
				tool(t, bin, "ss", "#!/bin/sh\ncat "+bin+"/out\n")
				at := actuators.Place{Fleet: fleet}
				at.SSH.StateDir = "/tmp"
				service := serviceAt("10.9.0.1", 8080)
				service.Silent, service.Ignore = 3*time.Second, []netip.Prefix{netip.MustParsePrefix("10.10.128.0/17")}
				cmd := exec.Command("sh", "-c", host.SenseCommand(at, "ss", service)) // whose input ends at once
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				out, err := cmd.Output()
				got := strings.TrimPrefix(string(out), "\nwindlass 1\n")
				want := "sample 0 " + c.want + "\n"
				if c.want == "" {
					if err == nil || got != "" {
						t.Errorf("it is not refused: %q", got)
					}
				} else if err != nil || got != want {
					t.Errorf("got %q, %v\nwant %q", got, err, want)
				}
			})
		}
	}
}
