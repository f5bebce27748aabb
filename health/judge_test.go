package health_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"windlass/health"
)

var start = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// story makes one sample of check "serves" a second from one letter each: + pass, - fail, x contradict, ? no answer, anything else none.
func story(s string) []health.Sample {
	results := map[rune]health.Result{'+': health.Pass, '-': health.Fail, 'x': health.Contradict, '?': health.NoAnswer}
	var out []health.Sample
	for i, r := range s {
		if result, ok := results[r]; ok {
			out = append(out, health.Sample{Check: "serves", At: start.Add(time.Duration(i) * time.Second), Result: result, Detail: string(result)})
		}
	}
	return out
}

func TestJudge(t *testing.T) {
	verify := health.Policy{Check: "serves", Successes: 2, Within: 10 * time.Second, Since: start}
	bake := health.Policy{Check: "serves", Successes: 2, Steady: 10 * time.Second, Within: 5 * time.Second, Since: start}
	later := verify
	later.Since = start.Add(3 * time.Second)
	careless := verify
	careless.Successes = 0

	for _, c := range []struct {
		name   string
		policy health.Policy
		story  string
		now    int // seconds from start
		want   health.Status
		reason string
		flaps  int
	}{
		{"nothing was tried", verify, "", 0, health.Pending, "check serves: not tried yet", 0},
		{"one of two", verify, "-+", 2, health.Pending, "1 of 2 passes in a row in 2 tries; last failure: fail", 0},
		{"two in a row", verify, "-++", 3, health.Passing, "check serves: 2 passes in a row", 0},
		{"a failure breaks the streak", verify, "++-", 3, health.Pending, "0 of 2 passes", 1},
		{"another release breaks the streak", verify, "+x+", 3, health.Pending, "1 of 2 passes", 1},
		{"no answer breaks no streak", verify, "+??+", 4, health.Passing, "2 passes in a row", 0},
		{"no answer is no pass", verify, "??", 2, health.Pending, "2 without an answer", 0},
		{"no answer at all in its time", verify, "??", 10, health.Unknown, "0 of 2 passes in a row in 2 tries, 2 without an answer; last failure: no_answer; had 10s", 0},
		{"never tried in its time", verify, "", 10, health.Unknown, "not tried within 10s", 0},
		{"failing at the deadline, not before", verify, "---", 9, health.Pending, "", 0},
		{"failing at the deadline", verify, "---", 10, health.Failing, "had 10s", 0},
		{"passing late still passes", verify, "---------++", 11, health.Passing, "", 0},
		{"another release until the end", verify, "-xxx", 10, health.Contradicted, "last failure: contradict", 0},
		{"another release, then broken", verify, "xx-", 10, health.Failing, "", 0},
		{"another release, then silence", verify, "xx?", 10, health.Unknown, "", 0},
		{"a failure, and then nothing to see", verify, "-?????", 10, health.Unknown, "6 tries, 5 without an answer", 0},
		{"a failure that is seen again at the end", verify, "-???-", 10, health.Failing, "", 0},
		{"samples from before do not count", later, "++-+", 4, health.Pending, "1 of 2 passes in a row in 1 try", 0},
		{"zero successes means one", careless, "+", 1, health.Passing, "", 0},
		{"zero successes is no free pass", careless, "", 1, health.Pending, "", 0},

		{"G7: first passes do not end a bake", bake, "++++", 4, health.Pending, "must stay without failure for 10s", 0},
		{"a steady bake passes", bake, "+++++++++++", 10, health.Passing, "no failure for 10s", 0},
		{"G7: a pass at the beginning of a bake shows nothing of the rest", bake, "++", 10, health.Pending, "must stay without failure for 10s", 0},
		{"G7: a blip starts the bake again", bake, "++++-++++++", 11, health.Pending, "", 1},
		{"a blip that healed passes late", bake, "++++-++++++++++", 14, health.Passing, "", 1},
		{"G7, G25: flapping is counted and fails", bake, "++-++-++-++-++-", 15, health.Failing, "failed again 5 times", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := health.Judge(story(c.story), c.policy, start.Add(time.Duration(c.now)*time.Second))
			if got.Status != c.want || !strings.Contains(got.Reason, c.reason) || got.Flaps != c.flaps {
				t.Errorf("got %q (%s), %d flaps; want %q (…%s…), %d flaps", got.Status, got.Reason, got.Flaps, c.want, c.reason, c.flaps)
			}
			if wantDeadline := got.Status == health.Pending; got.Deadline.IsZero() == wantDeadline {
				t.Errorf("%s verdict has deadline %v", got.Status, got.Deadline)
			}
		})
	}
}

// A reason says what is so, and nothing of what was not asked or not seen.
func TestReasonsSayNothingElse(t *testing.T) {
	p := health.Policy{Check: "serves", Successes: 2, Within: 10 * time.Second, Since: start}
	for tries, want := range map[string]string{"++": "check serves: 2 passes in a row", "+": "check serves: 1 of 2 passes in a row in 1 try"} {
		if got := health.Judge(story(tries), p, start); got.Reason != want {
			t.Errorf("%s: %q, want %q", tries, got.Reason, want)
		}
	}
}

func TestJudgeIgnoresOtherChecks(t *testing.T) {
	samples := story("--")
	for i := range samples {
		samples[i].Check = "other"
	}
	p := health.Policy{Check: "serves", Since: start, Within: time.Minute}
	if got := health.Judge(append(samples, story("+")...), p, start); got.Status != health.Passing {
		t.Errorf("another check's failures count: %+v", got)
	}
}

// What holds of every story: a verdict is unknown only when nothing answered in the end, no answer changes nothing else, and a pass more never hurts.
func TestJudgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOf(rapid.SampledFrom([]rune("+-x? "))).Draw(t, "story")
		samples := story(string(letters))
		p := health.Policy{
			Check: "serves", Since: start,
			Successes: rapid.IntRange(0, 4).Draw(t, "successes"),
			Steady:    time.Duration(rapid.IntRange(0, 5).Draw(t, "steady")) * time.Second,
			Within:    time.Duration(rapid.IntRange(0, 20).Draw(t, "within")) * time.Second,
		}
		now := start.Add(time.Duration(len(letters)+rapid.IntRange(0, 10).Draw(t, "later")) * time.Second)
		got := health.Judge(samples, p, now)

		silent := strings.HasSuffix("?"+strings.TrimSpace(string(letters)), "?")
		if got.Status == health.Unknown && !silent || got.Reason == "" {
			t.Fatalf("says nothing: %+v", got)
		}
		if got.Status == health.Pending && !now.Before(got.Deadline) {
			t.Fatalf("pending at %v, after its deadline %v", now, got.Deadline)
		}
		var answered []health.Sample
		for _, s := range samples {
			if s.Result != health.NoAnswer {
				answered = append(answered, s)
			}
		}
		if heard := health.Judge(answered, p, now); heard.Status != got.Status && got.Status != health.Unknown || heard.Flaps != got.Flaps {
			t.Fatalf("no answer changed %+v into %+v", heard, got)
		}
		better := append(samples, health.Sample{Check: "serves", At: now, Result: health.Pass})
		if got.Status == health.Passing && health.Judge(better, p, now).Status != health.Passing {
			t.Fatal("a pass more made a passing check worse")
		}
	})
}

func TestWorst(t *testing.T) {
	passing := health.Verdict{Status: health.Passing, Reason: "p"}
	soon := health.Verdict{Status: health.Pending, Reason: "soon", Deadline: start, Flaps: 1}
	late := health.Verdict{Status: health.Pending, Reason: "late", Deadline: start.Add(time.Hour), Flaps: 2}
	unknown := health.Verdict{Reason: "u"}
	contradicted := health.Verdict{Status: health.Contradicted, Reason: "c"}
	failing := health.Verdict{Status: health.Failing, Reason: "f"}
	for _, c := range []struct {
		verdicts []health.Verdict
		want     health.Verdict
	}{
		{nil, health.Verdict{Reason: "no check was judged"}},
		{[]health.Verdict{passing, passing}, health.Verdict{Status: health.Passing, Reason: "p; p"}},
		{[]health.Verdict{passing, late, soon}, health.Verdict{Status: health.Pending, Reason: "late; soon", Deadline: start, Flaps: 3}},
		{[]health.Verdict{soon, late}, health.Verdict{Status: health.Pending, Reason: "soon; late", Deadline: start, Flaps: 3}},
		{[]health.Verdict{soon, unknown, passing}, health.Verdict{Reason: "u", Flaps: 1}},
		{[]health.Verdict{unknown, contradicted}, contradicted},
		{[]health.Verdict{failing, contradicted, passing}, failing},
	} {
		if got := health.Worst(c.verdicts...); got != c.want {
			t.Errorf("Worst(%+v) = %+v, want %+v", c.verdicts, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	for tried, want := range []time.Duration{0, 20, 40, 80, 160, 320, 500, 500} {
		if got := health.Pace(tried, 500*time.Millisecond); got != want*time.Millisecond {
			t.Errorf("after %d tries wait %v, want %v", tried, got, want*time.Millisecond)
		}
	}
	if got := health.Pace(1<<40, time.Hour); got != time.Hour {
		t.Errorf("after very many tries wait %v", got)
	}
	if got := health.Pace(1, 5*time.Millisecond); got != 5*time.Millisecond {
		t.Errorf("a check of every 5 ms waits %v", got)
	}
}
