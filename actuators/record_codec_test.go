package actuators_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/actuators"
)

func fullRecord() actuators.NodeRecord {
	at := time.Date(2030, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	version := func(release string) actuators.Version {
		return actuators.Version{Release: release, Digest: "sha256:" + release, Algorithm: 1, Revision: "3f2a9c", Commit: strings.Repeat("c0", 20)}
	}
	return actuators.NodeRecord{
		Schema: actuators.RecordSchema, Fleet: "web-live", Instance: "i-0abc",
		Claim: &actuators.Claim{Holder: "agent on ops-1", Epoch: 7, Nonce: "0123456789abcdef", Expires: at},
		Stage: actuators.Configuring, StageAt: at,
		On: version("v1.4.2"), Prepared: "sha256:v1.4.2", Proven: version("v1.4.1"), Previous: version("v1.4.0"),
		Try:    actuators.Try{Version: version("v1.4.2"), Retry: 1, Failures: 2, Error: "exit 1\n\"quoted\" <é>", At: at, Earlier: "sha256:v1.3.9"},
		Taken:  []actuators.Membership{{Group: "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/73e2", ID: "10.0.1.11", Port: 8080, Zone: "all"}, {Group: "classic/web-internal", ID: "i-0abc"}},
		Places: []actuators.Membership{{Group: "classic/web-internal", ID: "i-1"}},
		Halts:  []actuators.Halt{{Digest: "sha256:bad", Release: "v1.4.1", Revision: "aa", Node: "web-1", Reason: "check serves failed", At: at}},
		Facts: []actuators.Fact{{Kind: actuators.Away, Node: "web-2", Instance: "i-0def", Release: "v1.4.3"},
			{Kind: actuators.Whole, Release: "v1.4.1", At: at, Until: at}},
	}
}

// older is a record without what that schema does not know.
func older(r actuators.NodeRecord, schema int) actuators.NodeRecord {
	r.Schema, r.Facts = schema, nil
	for _, v := range []*actuators.Version{&r.On, &r.Try.Version, &r.Proven, &r.Previous} {
		v.Commit = ""
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	for name, r := range map[string]actuators.NodeRecord{
		"full":  fullRecord(),
		"small": {Schema: actuators.RecordSchema, Fleet: "web-live"},
	} {
		b, err := actuators.EncodeRecord(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.HasSuffix(string(b), "}\n") {
			t.Errorf("%s: no newline at the end: %q", name, b)
		}
		got, err := actuators.DecodeRecord(b, "web-live")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Errorf("%s: changed on its way: %s", name, d)
		}
	}
}

// The node's shell looks for these two lines.
func TestRecordClaimStandsOnLinesOfItsOwn(t *testing.T) {
	r := fullRecord()
	r.Claim.Expires = r.Claim.Expires.In(time.FixedZone("", 3600))
	b, err := actuators.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\n  \"nonce\": \"0123456789abcdef\",\n", "\n  \"expires\": \"2030-01-02T03:04:05.6Z\"\n"} {
		if strings.Count(string(b), line) != 1 {
			t.Errorf("want %q once in:\n%s", line, b)
		}
	}
}

func TestEncodeRecordFitsFreeText(t *testing.T) {
	r := fullRecord()
	r.Try.Error = strings.Repeat("e", actuators.MaxErrorBytes)
	if b, err := actuators.EncodeRecord(r); err != nil || !strings.Contains(string(b), r.Try.Error) {
		t.Errorf("an error that fits is changed: %v", err)
	}
	r.Try.Error = "\x1b[31mred\x00" + strings.Repeat("é", actuators.MaxErrorBytes)
	r.Halts[0].Reason = "bad \xff bytes"
	r.Halts = append(r.Halts, r.Halts[0])
	r.Halts[1].Reason = strings.Repeat("r", actuators.MaxReasonBytes+1)
	b, err := actuators.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := actuators.DecodeRecord(b, "web-live")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Try.Error, "[31mredéé") || !strings.HasSuffix(got.Try.Error, "é…") || len(got.Try.Error) > actuators.MaxErrorBytes {
		t.Errorf("error became %d bytes: %.20q", len(got.Try.Error), got.Try.Error)
	}
	if got.Halts[0].Reason != "bad  bytes" {
		t.Errorf("reason became %q", got.Halts[0].Reason)
	}
	if reason := got.Halts[1].Reason; len(reason) != actuators.MaxReasonBytes || !strings.HasSuffix(reason, "r…") {
		t.Errorf("a long reason became %d bytes: …%.20q", len(reason), reason[len(reason)-10:])
	}
	if r.Halts[0].Reason != "bad \xff bytes" {
		t.Error("EncodeRecord changed its argument")
	}
}

func TestEncodeRecordRefusesWhatCouldNotBeRead(t *testing.T) {
	for name, change := range map[string]func(*actuators.NodeRecord){
		"no schema":      func(r *actuators.NodeRecord) { r.Schema = 0 },
		"nonce":          func(r *actuators.NodeRecord) { r.Claim.Nonce = "a b c d e f" },
		"too many halts": func(r *actuators.NodeRecord) { r.Halts = make([]actuators.Halt, actuators.MaxHalts+1) },
		"release":        func(r *actuators.NodeRecord) { r.On.Release = "$(reboot)" },
	} {
		r := fullRecord()
		change(&r)
		if _, err := actuators.EncodeRecord(r); err == nil {
			t.Errorf("%s: was encoded", name)
		}
	}
}

// Each bound holds on both of its sides.
func TestRecordBounds(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, c := range map[string]struct{ within, beyond func(*actuators.NodeRecord) }{
		"fleet":                     {func(r *actuators.NodeRecord) { r.Fleet = long(63) }, func(r *actuators.NodeRecord) { r.Fleet = long(64) }},
		"release":                   {func(r *actuators.NodeRecord) { r.On.Release = "1.4.2+build.7_a-B" + long(128-17) }, func(r *actuators.NodeRecord) { r.On.Release = long(129) }},
		"commit":                    {func(r *actuators.NodeRecord) { r.Try.Version.Commit = strings.Repeat("0f", 32) }, func(r *actuators.NodeRecord) { r.Try.Version.Commit = strings.Repeat("0f", 21) }},
		"commit's digits":           {func(r *actuators.NodeRecord) { r.Previous.Commit = "" }, func(r *actuators.NodeRecord) { r.Previous.Commit = strings.Repeat("0g", 20) }},
		"commit of an older schema": {func(r *actuators.NodeRecord) { *r = older(*r, 2) }, func(r *actuators.NodeRecord) { r.Schema, r.Facts = 2, nil }},
		"target's id":               {func(r *actuators.NodeRecord) { r.Taken[0].ID = "2001:db8::1" }, func(r *actuators.NodeRecord) { r.Taken[0].ID = "2001:db8::1%eth0" }},
		"group":                     {func(r *actuators.NodeRecord) { r.Taken[0].Group = "classic/Web-1" }, func(r *actuators.NodeRecord) { r.Taken[0].Group = "/web" }},
		"repairs":                   {func(r *actuators.NodeRecord) { r.Repairs = actuators.MaxRepairs }, func(r *actuators.NodeRecord) { r.Repairs = actuators.MaxRepairs + 1 }},
		"fewest repairs":            {func(r *actuators.NodeRecord) { r.Repairs = 0 }, func(r *actuators.NodeRecord) { r.Repairs = -1 }},
		"holder":                    {func(r *actuators.NodeRecord) { r.Claim.Holder = long(256) }, func(r *actuators.NodeRecord) { r.Claim.Holder = long(257) }},
		"holder's text":             {func(r *actuators.NodeRecord) { r.Claim.Holder = "é b" }, func(r *actuators.NodeRecord) { r.Claim.Holder = "a\x1b[2J" }},
		"epoch":                     {func(r *actuators.NodeRecord) { r.Claim.Epoch = 0 }, func(r *actuators.NodeRecord) { r.Claim.Epoch = -1 }},
		"algorithm":                 {func(r *actuators.NodeRecord) { r.On.Algorithm = 0 }, func(r *actuators.NodeRecord) { r.On.Algorithm = -1 }},
		"retry":                     {func(r *actuators.NodeRecord) { r.Try.Retry = actuators.MaxRetry }, func(r *actuators.NodeRecord) { r.Try.Retry = actuators.MaxRetry + 1 }},
		"fewest retries":            {func(r *actuators.NodeRecord) { r.Try.Retry = 0 }, func(r *actuators.NodeRecord) { r.Try.Retry = -1 }},
		"failures":                  {func(r *actuators.NodeRecord) { r.Try.Failures = 0 }, func(r *actuators.NodeRecord) { r.Try.Failures = -1 }},
		"port":                      {func(r *actuators.NodeRecord) { r.Taken[0].Port = 65535 }, func(r *actuators.NodeRecord) { r.Taken[0].Port = 65536 }},
		"least port":                {func(r *actuators.NodeRecord) { r.Places[0].Port = 0 }, func(r *actuators.NodeRecord) { r.Places[0].Port = -1 }},
		"halt's retry":              {func(r *actuators.NodeRecord) { r.Halts[0].Retry = actuators.MaxRetry }, func(r *actuators.NodeRecord) { r.Halts[0].Retry = actuators.MaxRetry + 1 }},
		"halt's retries":            {func(r *actuators.NodeRecord) { r.Halts[0].Retry = 0 }, func(r *actuators.NodeRecord) { r.Halts[0].Retry = -1 }},
		"halt's digest":             {func(r *actuators.NodeRecord) { r.Halts[0].Digest = "a" }, func(r *actuators.NodeRecord) { r.Halts[0].Digest = "" }},
		"halts": {func(r *actuators.NodeRecord) { r.Halts = slices.Repeat(r.Halts, actuators.MaxHalts) },
			func(r *actuators.NodeRecord) { r.Halts = slices.Repeat(r.Halts, actuators.MaxHalts+1) }},
		"places": {func(r *actuators.NodeRecord) { r.Places = slices.Repeat(r.Places, actuators.MaxMemberships) },
			func(r *actuators.NodeRecord) { r.Places = slices.Repeat(r.Places, actuators.MaxMemberships+1) }},
		"facts": {func(r *actuators.NodeRecord) { r.Facts = slices.Repeat(r.Facts[:1], actuators.MaxFacts) },
			func(r *actuators.NodeRecord) { r.Facts = slices.Repeat(r.Facts[:1], actuators.MaxFacts+1) }},
		"first schema":  {func(r *actuators.NodeRecord) { *r = older(*r, 1) }, func(r *actuators.NodeRecord) { *r = older(*r, 0) }},
		"newest schema": {func(r *actuators.NodeRecord) { r.Schema = actuators.RecordSchema }, func(r *actuators.NodeRecord) { r.Schema = actuators.RecordSchema + 1 }},
		"first year":    {func(r *actuators.NodeRecord) { r.StageAt = time.Unix(0, 0) }, func(r *actuators.NodeRecord) { r.StageAt = time.Unix(-1, 0) }},
		"last year": {func(r *actuators.NodeRecord) { r.Try.At = time.Date(2999, 12, 31, 23, 59, 59, 0, time.UTC) },
			func(r *actuators.NodeRecord) { r.Try.At = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"as a whole": {func(r *actuators.NodeRecord) { r.Places = slices.Repeat(r.Places, actuators.MaxMemberships) }, func(r *actuators.NodeRecord) {
			r.Places[0].Group = long(512)
			r.Places[0].ID = long(250)
			r.Places = slices.Repeat(r.Places, actuators.MaxMemberships)
			r.Taken = r.Places
		}},
	} {
		r := fullRecord()
		c.within(&r)
		b, err := actuators.EncodeRecord(r)
		if err == nil {
			_, err = actuators.DecodeRecord(b, r.Fleet)
		}
		if err != nil {
			t.Errorf("%s, at its bound: %v", name, err)
		}
		r = fullRecord()
		c.beyond(&r)
		if _, err := actuators.EncodeRecord(r); err == nil {
			t.Errorf("%s, beyond its bound: was encoded", name)
		}
	}
}

func TestDecodeRecordBoundsFreeText(t *testing.T) {
	full, err := actuators.EncodeRecord(fullRecord())
	if err != nil {
		t.Fatal(err)
	}
	for n, fits := range map[int]bool{actuators.MaxReasonBytes: true, actuators.MaxReasonBytes + 1: false} {
		b := strings.Replace(string(full), "check serves failed", strings.Repeat("x", n), 1)
		if _, err := actuators.DecodeRecord([]byte(b), "web-live"); (err == nil) != fits {
			t.Errorf("a reason of %d bytes: %v", n, err)
		}
	}
}

// What DecodeRecord refuses for its length alone is one byte beyond what it takes.
func TestRecordOfTheMostBytes(t *testing.T) {
	full, err := actuators.EncodeRecord(fullRecord())
	if err != nil {
		t.Fatal(err)
	}
	padded := string(full) + strings.Repeat(" ", actuators.MaxRecordBytes-len(full))
	if _, err := actuators.DecodeRecord([]byte(padded), "web-live"); err != nil {
		t.Error(err)
	}
	if _, err := actuators.DecodeRecord([]byte(padded+" "), "web-live"); err == nil {
		t.Error("one byte more was read")
	}
}

// A record reads alike for people and shells, whoever wrote it: in UTC, without escapes; and writing it changes nothing of it.
func TestRecordIsWrittenInUTC(t *testing.T) {
	r, zone := fullRecord(), time.FixedZone("", 3600)
	r.StageAt, r.Try.At, r.Halts[0].At, r.Claim.Expires = r.StageAt.In(zone), r.Try.At.In(zone), r.Halts[0].At.In(zone), r.Claim.Expires.In(zone)
	r.Facts[1].At, r.Facts[1].Until = r.Facts[1].At.In(zone), r.Facts[1].Until.In(zone)
	b, err := actuators.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "+01:00") || strings.Count(string(b), "03:04:05.6Z") != 6 || !strings.Contains(string(b), "<é>") {
		t.Errorf("written as %s", b)
	}
	if r.Claim.Expires.Location() != zone || r.Halts[0].At.Location() != zone {
		t.Error("EncodeRecord changed its argument")
	}
	there := strings.ReplaceAll(string(b), "03:04:05.6Z", "04:04:05.6+01:00")
	if got, err := actuators.DecodeRecord([]byte(there), "web-live"); err != nil || !cmp.Equal(got, fullRecord()) || got.StageAt.Location() != time.UTC {
		t.Errorf("read as %+v, %v", got, err)
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	full, err := actuators.EncodeRecord(fullRecord())
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, with string) string {
		if !strings.Contains(string(full), old) {
			t.Fatalf("the record holds no %s", old)
		}
		return strings.Replace(string(full), old, with, 1)
	}
	for name, b := range map[string]string{
		"nothing":                 "",
		"torn":                    string(full[:len(full)/2]),
		"zeros":                   strings.Repeat("\x00", 4096),
		"too large":               string(full) + strings.Repeat(" ", actuators.MaxRecordBytes),
		"two records":             string(full) + string(full),
		"an unknown key":          swap(`"stage"`, `"stge"`),
		"no schema":               swap(`"schema": 3`, `"schema": 0`),
		"another fleet":           swap(`"web-live"`, `"web-test"`),
		"an unknown stage":        swap(`"configuring"`, `"launching"`),
		"a shell in a release":    swap(`"release": "v1.4.2"`, `"release": "v1;reboot"`),
		"a line in a digest":      swap(`"sha256:v1.4.2"`, `"sha256\nx"`),
		"a control in an error":   swap(`exit 1`, `\u001b[2J`),
		"a terrible nonce":        swap(`0123456789abcdef`, `'; reboot; '`),
		"a claim without end":     swap(`"expires": "2030-01-02T03:04:05.6Z"`, `"expires": "0001-01-01T00:00:00Z"`),
		"a year out of reach":     swap(`"stageAt": "2030`, `"stageAt": "9030`),
		"a negative count":        swap(`"failures": 2`, `"failures": -2`),
		"a port out of range":     swap(`8080`, `80800`),
		"facts before their time": swap(`"schema": 3`, `"schema": 1`),
		"a span before its time":  swap(`"schema": 3`, `"schema": 2`),
		"a fact of no kind":       swap(`"kind": "away"`, `"kind": "astray"`),
		"nobody is away":          swap(`"node": "web-2",`, ``),
		"whole without a release": swap(`"kind": "whole",
   "release": "v1.4.1"`, `"kind": "whole"`),
		"an unknown fact":      swap(`"away"`, `"home"`),
		"a fact of no machine": swap(`"i-0def"`, `""`),
		"a fact of nobody":     swap(`"node": "web-2"`, `"node": ""`),
		"a fact's shell":       swap(`"release": "v1.4.3"`, `"release": "v1;reboot"`),
		"an endless id":        swap(`10.0.1.11`, strings.Repeat("1", 300)),
	} {
		r, err := actuators.DecodeRecord([]byte(b), "web-live")
		if err == nil || errors.Is(err, actuators.ErrNewerSchema) {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(actuators.NodeRecord{}, r); d != "" {
			t.Errorf("%s: came back in spite of the error: %s", name, d)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: the error itself is unbounded: %d bytes", name, len(err.Error()))
		}
	}
}

func TestDecodeRecordStopsAtNewerSchema(t *testing.T) {
	b := `{"schema": 4, "fleet": "web-live", "hologram": true}`
	if _, err := actuators.DecodeRecord([]byte(b), "web-live"); !errors.Is(err, actuators.ErrNewerSchema) {
		t.Errorf("got %v", err)
	}
}

// A record says whether a journey is in hand, and whether anything is known of what is on the host.
func TestRecordSaysWhatIsInHand(t *testing.T) {
	for stage, want := range map[actuators.Stage]bool{
		actuators.Idle: false, actuators.Preparing: true, actuators.Leaving: true, actuators.Configuring: true, actuators.Verified: true, actuators.Failed: false,
	} {
		r := actuators.NodeRecord{Stage: stage}
		if r.UnderWay() != want || r.Known() {
			t.Errorf("stage %q: under way %t, known %t", stage, r.UnderWay(), r.Known())
		}
	}
	if r := fullRecord(); !r.Known() {
		t.Errorf("%v is on it, and nothing is known", r.On)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	full, err := actuators.EncodeRecord(fullRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte(`{"schema":1,"fleet":"web-live"}`))
	f.Add([]byte(`{"schema":1,"FLEET":"web-live","halts":[{"digest":"x","at":"2030-01-02T03:04:05+23:59"}]}`))
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`{"schema":1,"fleet":"web-live","claim":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := actuators.DecodeRecord(b, "web-live")
		if err != nil {
			return
		}
		again, err := actuators.EncodeRecord(r)
		if err != nil {
			t.Fatalf("cannot encode what was decoded: %v", err)
		}
		back, err := actuators.DecodeRecord(again, "web-live")
		if err != nil {
			t.Fatalf("cannot decode what was encoded: %v", err)
		}
		if d := cmp.Diff(dropEmpty(r), back); d != "" {
			t.Fatalf("changed on its way: %s", d)
		}
	})
}

// dropEmpty forgets the difference between no list and an empty one.
func dropEmpty(r actuators.NodeRecord) actuators.NodeRecord {
	r = r.Clone()
	if len(r.Taken) == 0 {
		r.Taken = nil
	}
	if len(r.Places) == 0 {
		r.Places = nil
	}
	if len(r.Halts) == 0 {
		r.Halts = nil
	}
	return r
}
