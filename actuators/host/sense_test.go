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
		"a line that is too long": {silent(hello + "sample 1 80 0 0 - " + strings.Repeat("1,", 10<<10) + "1\n"), "no list of samples, or has no end", 0},
		"greetings without end":   {forever("hello\n"), "prints without end", 0},
		"silence":                 {silent(hello + empty), "it sent no sample in time", 1},
		"an end":                  {say(hello+empty, 0), "not whole", 1},
		"a torn sample":           {say(hello+empty+"sample 1 80 0 0 - -", 0), "not whole", 1},
		"a failure":               {func(c ssh.Channel, done func(int)) { fmt.Fprintln(c.Stderr(), "windlass: it broke"); done(85) }, "it broke", 0},
		"no shell":                {say("", 1), "needs a login shell that runs commands as sh does", 0},
		"no status":               {func(c ssh.Channel, _ func(int)) { c.Close() }, "the connection was lost", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := (&villain{exec: c.exec}).start(t)
			at.SSH.ConnectTimeout = time.Second
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			w := sense(t, trusting(t, host.Options{}), at, serviceAt("10.0.0.1", 80))
			w.wrong(c.want)
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
				t.Errorf("%d MB are kept", grown>>20)
			}
			allowed := 4 * int(time.Since(began).Seconds()) // since: on a busy machine a flood takes its time
			if len(w.samples) > c.samples+1+allowed {
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

// firstSample is the first line after the greeting of a script that is told to end at once: on a busy machine more may follow.
func firstSample(out []byte) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(string(out), "\nwindlass 1\n"), "\n")
	return line
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
		"silent the other way":       {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n\t cubic lastsnd:2996 lastrcv:3404\n", one}, // an answer that takes its time
		"silent, spaces before it":   {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n    lastsnd:3404 lastrcv:3404\n", seen},
		"silent not long enough":     {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n\t lastsnd:2999 lastrcv:2999\n", one},
		"details without silence":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n\t cubic\n", one},
		"the other one is silent":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.9:46510\n" + details + "ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46511\n", one},
		"the first one is not":       {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\nESTAB 0 0 10.9.0.1:8080 10.9.0.9:46511\n" + details, one},
		"silent while it ends":       {"CLOSE-WAIT 1 0 10.9.0.1:8080 10.9.0.2:46510\n" + details, seen},
		"SYN-RECV":                   {"SYN-RECV 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"FIN-WAIT-1":                 {"FIN-WAIT-1 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"LAST-ACK":                   {"LAST-ACK 0 0 10.9.0.1:8080 10.9.0.2:46510\n", one},
		"FIN-WAIT-2":                 {"FIN-WAIT-2 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"SYN-SENT":                   {"SYN-SENT 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"UNCONN":                     {"UNCONN 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"TIME-WAIT":                  {"TIME-WAIT 0 0 10.9.0.1:8080 10.9.0.2:46510\n", seen},
		"the service's own":          {"ESTAB 0 0 10.9.0.1:8080 10.9.0.1:46510\n", "8080 1 1 40a090001 -"}, // which is none of this machine's
		"ignored":                    {"ESTAB 0 0 10.9.0.1:8080 10.10.255.2:46510\n", nothing},
		"a state that there is not":  {"NEW 0 0 10.9.0.1:8080 10.9.0.2:46510\n", ""},
		"an address that is none":    {"ESTAB 0 0 10.9.0.1:8080 10.9.0.256:46510\n", ""},
		"an address that is too old": {"ESTAB 0 0 10.9.0.1:8080 1:2:3:4:5:6:7:46510\n", ""},
		"words":                      {"Cannot open netlink socket: Permission denied\n", ""},
		"a name":                     {"ESTAB 0 0 10.9.0.1:8080 host.example:46510\n", ""},
		"a failure":                  {"ended 3\n", ""},
		"a status":                   {"ESTAB 0 0 10.9.0.1:8080 10.9.0.2:46510\n", ""},
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
				status := 0
				if name == "a status" {
					status = 3
				}
				tool(t, bin, "ss", fmt.Sprintf("#!/bin/sh\ncat %s/out\nexit %d\n", bin, status))
				service := serviceAt("10.9.0.1", 8080)
				service.Silent, service.Ignore = 3*time.Second, []netip.Prefix{netip.MustParsePrefix("10.10.128.0/17")}
				out, err := senseWith(bin, "ss", service).Output() // whose input ends at once
				got := firstSample(out)
				want := "sample 0 " + c.want
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

// What the kernel lists is understood: each state, of both families, and which addresses are the node's own.
func TestWhatProcLists(t *testing.T) {
	t.Parallel()
	const (
		trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.9.0.1
        /32 host LOCAL
     |-- 10.9.0.2
        /32 link UNICAST
     +-- 10.20.0.0/16 2 0 2
        |-- 10.20.0.0
           /16 host LOCAL
        |-- 10.21.64.0
           /18 host LOCAL
`
		inet6 = "fd000000000000000000000000000001 02 40 00 80     eth0\n"
		sl    = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		ours  = "0100090A:1F90" // 10.9.0.1:8080
		peer  = "0200090A:B5AE"
		six   = "000000FD000000000000000001000000:1F90"
	)
	socket := func(local, remote, state string) string {
		return "   0: " + local + " " + remote + " " + state + " 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 20 4 30 10 -1\n"
	}
	many := func(n int) (lines string, ports string) {
		var all, own strings.Builder
		for i := range n {
			all.WriteString(socket(ours, fmt.Sprintf("0100090A:%04X", 0x2000+i), "01"))
			fmt.Fprintf(&own, ",%04X", 0x2000+i)
		}
		return all.String(), strings.TrimPrefix(own.String(), ",")
	}
	thousand, thousandPorts := many(1000)
	more, _ := many(1001)
	const (
		nothing = "8080 0 0 - -"
		one     = "8080 1 1 40a090002 -"
		seen    = "8080 0 1 - -"
	)
	for name, c := range map[string]struct{ tcp, tcp6, want, ss string }{
		"nothing":     {"", "", nothing, ""},
		"established": {socket(ours, peer, "01"), "", one, ""}, "SYN_SENT": {socket(ours, peer, "02"), "", seen, ""}, "SYN_RECV": {socket(ours, peer, "03"), "", one, ""},
		"FIN_WAIT1": {socket(ours, peer, "04"), "", one, ""}, "FIN_WAIT2": {socket(ours, peer, "05"), "", seen, ""}, "TIME_WAIT": {socket(ours, peer, "06"), "", seen, ""},
		"CLOSE": {socket(ours, peer, "07"), "", seen, ""}, "CLOSE_WAIT": {socket(ours, peer, "08"), "", one, ""}, "LAST_ACK": {socket(ours, peer, "09"), "", one, ""},
		"LISTEN": {socket("00000000:1F90", "00000000:0000", "0A"), "", nothing, ""}, "CLOSING": {socket(ours, peer, "0B"), "", one, ""}, "NEW_SYN_RECV": {socket(ours, peer, "0C"), "", one, ""},
		"a new state":                 {socket(ours, peer, "0D"), "", "", ""},
		"another port":                {socket("0100090A:1F91", "0200090A:1F90", "01"), "", nothing, ""},
		"mapped":                      {"", socket("0000000000000000FFFF00000100090A:1F90", "0000000000000000FFFF00000200090A:B5AE", "01"), one, ""},
		"IPv6":                        {"", socket(six, "000000FD020001000400030006000500:B5AE", "01"), "8080 1 1 6fd000000000100020003000400050006 -", ""},
		"its own":                     {socket(ours, "0100090A:B5AE", "01") + socket(ours, "0100090A:B5AF", "05") + socket(ours, "0100090A:B5B0", "08") + socket(ours, "0100090A:B5B1", "06"), "", "8080 0 0 - B5AE,B5AF", ""},
		"its own of the other family": {"", socket(six, "000000FD000000000000000001000000:B5AE", "01"), nothing, ""},
		"its own loopback":            {socket("0100007F:1F90", "0200007F:B5AE", "01"), "", nothing, ""},
		"a range of its own":          {socket(ours, "0900140A:B5AE", "01"), "", "8080 0 0 - B5AE", ""},
		"beyond that range":           {socket(ours, "0900150A:B5AE", "01"), "", "8080 1 1 40a150009 -", ""},
		"ranges of no whole digits":   {socket(ours, "0940150A:B5AE", "01"), "", "8080 1 1 40a154009 -", ""},
		"a thousand of its own":       {thousand, "", "8080 0 0 - " + thousandPorts, ""},
		"more than a thousand":        {more, "", "8080 0 0 - many", ""},
		"its own by ss, silent":       {"", "", "8080 0 0 - 46510", "ESTAB 0 0 10.9.0.1:8080 10.9.0.1:46510\n\t lastsnd:3404 lastrcv:3404\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serviceAt("10.9.0.1", 8080)
			sensor := "/proc/net/tcp"
			if c.ss != "" {
				sensor, service.Silent = "ss", 3*time.Second
			}
			bin := t.TempDir()
			awk, err := exec.LookPath("awk")
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"tcp": sl + c.tcp, "tcp6": sl + c.tcp6, "fib_trie": trie, "if_inet6": inet6, "out": c.ss} {
				write(t, filepath.Join(bin, file), text)
			}
			tool(t, bin, "ss", "#!/bin/sh\ncat "+bin+"/out\n")
			tool(t, bin, "awk", `#!/bin/sh
for a; do
	shift
	case $a in /proc/net/*) a=`+bin+`/${a##*/} ;; esac
	set -- "$@" "$a"
done
exec `+awk+` "$@"
`)
			out, err := senseWith(bin, sensor, service).Output() // whose input ends at once
			got, want := firstSample(out), "sample 1 "+c.want
			if c.want == "" {
				want = ""
			}
			if got != want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v\nwant %q", got, err, want)
			}
		})
	}
}

// senseWith is the script of a sensor, on a machine with these programs.
func senseWith(bin, sensor string, service actuators.Service) *exec.Cmd {
	at := actuators.Place{Fleet: fleet}
	at.SSH.StateDir = "/tmp"
	cmd := exec.Command("sh", "-c", host.SenseCommand(at, sensor, service))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	return cmd
}

// A sensor that has worked may fail three times in a row.
func TestSensorThatFailsNowAndThen(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	tool(t, bin, "ss", `#!/bin/sh
echo run >>`+bin+`/runs
case $(wc -l <`+bin+`/runs) in
1 | 5) exit 0 ;;
esac
echo it is out of memory
exit 1
`)
	cmd := senseWith(bin, "ss", serviceAt("10.9.0.1", 8080))
	held, end := io.Pipe()
	defer end.Close()
	cmd.Stdin = held
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	state, err := cmd.Process.Wait()
	held.Close()
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	runs, err := os.ReadFile(filepath.Join(bin, "runs"))
	if err != nil || strings.Count(string(runs), "run") != 9 || strings.Count(out.String(), "sample ") != 2 {
		t.Errorf("%d runs, %q, %v", strings.Count(string(runs), "run"), out.String(), err)
	}
	if want := "ss does not work there any more: it says: it is out of memory"; state.ExitCode() != 85 || !strings.Contains(said.String(), want) {
		t.Errorf("status %d, %q", state.ExitCode(), said.String())
	}
}
