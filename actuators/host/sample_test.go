package host

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"windlass/actuators"
)

// Whatever a node sends: it is a sample of the ports asked for, or an error for people; never one that shows less than is written there.
func FuzzParseSample(f *testing.F) {
	for _, line := range []string{
		"sample 1 80 0 0 - - 443 3 1 40a090002 41234,41235", "sample 0 80 0 1 - many 443 1 1 6fd000000000000000000000000000002 -",
		"sample 1 80 0 0 - - 443 1 1 600000000000000000000ffff0a090002 -", "sample 1 80 -1 0 - - 443 0 0 - -", "", "sample 1",
		"sample 1 443 0 0 - - 80 0 0 - -", "sample 1 80 1 1 - - 443 0 0 - -", "sample 1 80 0 0 - - 443 0 0 - - ",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseSample(line, []int{80, 443})
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 600 {
				t.Errorf("%q", err)
			}
			return
		}
		got := s.traffic("ss", false)
		words := strings.Fields(line)
		empty := words[3] == "0" && words[8] == "0"
		if (got.Busy == 0) != empty || (got.Peer == "") != empty || got.Busy < 0 || len(got.Others) > 2 || len(words) != 12 || words[2] != "80" || words[7] != "443" {
			t.Errorf("%q is %+v", line, got)
		}
	})
}

func TestSampleIsRead(t *testing.T) {
	t.Parallel()
	s, err := parseSample("sample 1 80 0 0 - - 443 3 1 40a090002 41234,A0F1 8080 2 1 6fd000000000000000000000000000002 many", []int{80, 443, 8080})
	if err != nil {
		t.Fatal(err)
	}
	got := s.traffic("ss", true)
	if !got.Sees || got.Sensor != "ss" || got.Busy != 5 || got.Peer != "10.9.0.2" || !slices.Equal(got.Others, []int{443, 8080}) {
		t.Errorf("%+v", got)
	}
	if !s.here || len(s.ports[0].own) != 0 || s.ports[0].own == nil || !s.ports[1].own["41234"] || len(s.ports[1].own) != 2 || s.ports[2].own != nil {
		t.Errorf("%+v", s)
	}
	for _, line := range []string{
		"sample 1 80 1 0 40a090002 -", "sample 1 80 0 1 40a090002 -", "sample 1 80 1 1 - -", "sample 1 80 1 1 40A090002 -", "sample 2 80 0 0 - -",
		"sample 1 80 0 0 - 123456", "sample 1 80 0 0 - 1,", "sample 1 80 0 0 -", "sample 1 81 0 0 - -", "sample 1 80 4294967296 1 40a090002 -",
		"sample 1 80 x 1 40a090002 -", "sample 1 80 0 2 - -", "Sample 1 80 0 0 - -", "sample 1 80 1 1 50a090002 -", "sample 1 080 0 0 - -",
		"sample 1 80 0 0 - - 443 1 1 40a090002 -",
	} {
		if s, err := parseSample(line, []int{80}); err == nil {
			t.Errorf("%q is %+v", line, s)
		}
	}
}

// A pattern matches the addresses of its prefixes, and no others.
func TestPatternsOfPrefixes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		var b [16]byte
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 {
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	for range 3000 {
		a := address()
		p := netip.PrefixFrom(a, random.IntN(a.BitLen()+1))
		pattern := regexp.MustCompile(patternOf([]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), p}))
		near, last := a.AsSlice(), a
		near[random.IntN(len(near))] ^= 1 << random.IntN(8)
		last, _ = netip.AddrFromSlice(near)
		for _, peer := range []netip.Addr{a, last, address()} {
			if got, want := pattern.MatchString(keyOfAddress(peer)), p.Contains(peer); got != want {
				t.Fatalf("%v is ignored by %v: %v (%v)", peer, p, got, pattern)
			}
		}
	}
	for prefix, want := range map[string]bool{"::ffff:10.0.0.0/104": true, "::ffff:0.0.0.0/96": true, "::/0": false, "::/96": false, "::ffff:0.0.0.0/90": false, "0.0.0.0/0": true} {
		if got := regexp.MustCompile(patternOf([]netip.Prefix{netip.MustParsePrefix(prefix)})).MatchString(keyOfAddress(netip.MustParseAddr("10.1.2.3"))); got != want {
			t.Errorf("%s ignores 10.1.2.3: %v", prefix, got)
		}
	}
	none := regexp.MustCompile(patternOf([]netip.Prefix{{}}))
	if none.MatchString("40a000001") || none.MatchString("") {
		t.Error("no prefix matches something")
	}
}

// Only a connection that comes when ours does, stays while ours does and goes when ours does is ours.
func TestCalibration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		story string // what is listed, sample by sample, or what happens
		want  move   // the last move
		phase phase
	}{
		"seen":                         {"-,connected,-,7,7,-", nothing, calibrated},
		"seen at once":                 {"-,connected,7,7,7,-", nothing, calibrated},
		"seen beside one that stays":   {"5,connected,5,57,57,5", nothing, calibrated},
		"seen beside one that comes":   {"-,connected,-,78,7,-", nothing, calibrated},
		"seen beside one that goes":    {"5,connected,5,57,7,-", nothing, calibrated},
		"seen to go late":              {"-,connected,7,7,7,7,7,7,-", nothing, calibrated},
		"not listed":                   {"-,connected,-,-,-", passOver, listing},
		"only others are":              {"5,connected,5,56,5", disconnect, resting},
		"only others are, then seen":   {"7,connected,7,78,7,-,connected,-,7,7,-", nothing, calibrated},
		"too many before":              {"many,connected,7,7,7", disconnect, resting},
		"too many at first":            {"-,connected,-,many,7", disconnect, resting},
		"too many later":               {"-,connected,-,7,many", disconnect, resting},
		"too many while it goes":       {"-,connected,7,7,7,many", nothing, closing},
		"only others are, twice":       {"5,connected,5,5,5,5,connected,5,5,5", passOver, listing},
		"two stay":                     {"-,connected,7,78,78,78,78,78,78", disconnect, resting},
		"two, then one":                {"-,connected,7,78,78,7", disconnect, closing},
		"it does not go":               {"-,connected,7,7,7,7,7,7,7,7,7,7", disconnect, resting},
		"too many":                     {"many,connected,many,many,many", disconnect, resting},
		"too many, always":             {strings.Repeat("many,connected,many,many,many,", 4) + "many,connected,many,many,many", giveUp, listing},
		"refused":                      {"-,refused,-,-,-,-,-,-,-,-,-,-", nothing, resting},
		"refused, tried again":         {"-,refused,-,-,-,-,-,-,-,-,-,-,-", connect, connecting},
		"nothing before it stands":     {"-,7,7,7,7", nothing, connecting},
		"calibrated, and nothing more": {"-,connected,7,7,7,-,-,5,-", nothing, calibrated},
	} {
		var calibration calibration
		last := nothing
		for _, event := range strings.Split(c.story, ",") {
			switch event {
			case "connected":
				calibration.connected()
			case "refused":
				calibration.refused()
			default:
				last = calibration.sample(sample{ports: []portSample{{own: ownOf(event)}}})
			}
		}
		if last != c.want || calibration.phase != c.phase {
			t.Errorf("%s: move %d, want %d; phase %d, want %d", name, last, c.want, calibration.phase, c.phase)
		}
	}
}

// ownOf is a digit for each port.
func ownOf(event string) map[string]bool {
	if event == "many" {
		return nil
	}
	own := map[string]bool{}
	for _, c := range strings.Trim(event, "-") {
		own[string(c)] = true
	}
	return own
}

// Of several ports, each must be seen.
func TestCalibrationOfSeveralPorts(t *testing.T) {
	t.Parallel()
	both := func(a, b string) sample { return sample{ports: []portSample{{own: ownOf(a)}, {own: ownOf(b)}}} }
	var c calibration
	c.sample(both("-", "-"))
	c.connected()
	c.sample(both("7", "-"))
	c.sample(both("7", "-"))
	if got := c.sample(both("7", "-")); got != passOver {
		t.Errorf("one of two: %d", got)
	}
	for _, second := range [][2]string{{"78", "7"}, {"7", "78"}} {
		c = calibration{}
		c.sample(both("-", "-"))
		c.connected()
		for range 3 {
			if got := c.sample(both(second[0], second[1])); got != nothing || c.phase != listing {
				t.Errorf("with two on one of them: %d, phase %d", got, c.phase)
			}
		}
	}
}

func TestReasonsToBeBlind(t *testing.T) {
	t.Parallel()
	s := sensing{service: actuators.Service{Address: netip.MustParseAddr("fd00::1"), Ports: []int{80, 443}}}
	for want, got := range map[string]error{
		"a": s.blind(nil, []string{"a"}),
		"ss, b and c do not list a connection from the node to [fd00::1]:80 and [fd00::1]:443 (its traffic may be forwarded to a container)": s.blind([]string{"ss", "b", "c"}, nil),
		"ss does not list a connection from the node to [fd00::1]:80 and [fd00::1]:443 (its traffic may be forwarded to a container); x; y":  s.blind([]string{"ss"}, []string{"x", "y"}),
	} {
		if got.Error() != want {
			t.Errorf("%v\nwant %s", got, want)
		}
	}
}

// A sensor is said to see when it was seen to list ours, and not to list it any more.
func TestSamplesSayWhatWasSeen(t *testing.T) {
	t.Parallel()
	var told []actuators.Traffic
	w := &watching{sensing: &sensing{service: serviceOf(80), tell: func(x actuators.Traffic) { told = append(told, x) }}, name: "ss"}
	w.calibration = calibration{phase: listing, before: []map[string]bool{{}}}
	for _, own := range []string{"7", "7", "7", "7", "-", "-"} {
		if err := w.take(t.Context(), "sample 1 80 0 0 - "+own); err != nil {
			t.Fatal(err)
		}
	}
	var sees []bool
	for _, x := range told {
		sees = append(sees, x.Sees)
	}
	if !slices.Equal(sees, []bool{false, false, false, false, true, true}) {
		t.Errorf("%v", sees)
	}
}

func serviceOf(ports ...int) actuators.Service {
	return actuators.Service{Address: netip.MustParseAddr("10.9.0.1"), Ports: ports}
}
