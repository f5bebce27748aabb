package window_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"windlass/desired/window"
)

// A clock is what the wall clock of a zone shows, minute by minute from an instant on. It is read forwards only, as people do.
type clock struct {
	from    time.Time
	shows   []int64 // minutes since 1970, as if in UTC
	highest []int64 // shown up to then
	lowest  []int64 // shown later
}

func readClock(zone *time.Location, from time.Time, minutes int) clock {
	c := clock{from: from, shows: make([]int64, minutes), highest: make([]int64, minutes), lowest: make([]int64, minutes)}
	for i := range c.shows {
		y, m, d := from.Add(time.Duration(i) * time.Minute).In(zone).Date()
		h, min, _ := from.Add(time.Duration(i) * time.Minute).In(zone).Clock()
		c.shows[i] = time.Date(y, m, d, h, min, 0, 0, time.UTC).Unix() / 60
		c.highest[i] = c.shows[i]
		if i > 0 {
			c.highest[i] = max(c.highest[i], c.highest[i-1])
		}
	}
	later := int64(1) << 62
	for i := minutes - 1; i >= 0; i-- {
		c.lowest[i] = later
		later = min(later, c.shows[i])
	}
	return c
}

// A modelRule is a rule by what it means: the wall times, in minutes, from which and up to which it lasts.
type modelRule struct {
	rule  window.Rule
	spans [][2]int64
}

// covers: a deny covers a minute once its start has been shown and while its end is to come, be it again; an allow once its start does not
// come any more and while its end has not been shown.
func (r modelRule) covers(c clock, i int) bool {
	for _, s := range r.spans {
		begun, ended := c.highest[i] >= s[0], c.shows[i] >= s[1] && c.lowest[i] > s[1]
		if r.rule.Allow != "" {
			begun, ended = c.shows[i] >= s[0] && c.lowest[i] > s[0], c.highest[i] >= s[1]
		}
		if begun && !ended {
			return true
		}
	}
	return false
}

func (r modelRule) ever(c clock) bool {
	for i := range c.shows {
		if r.covers(c, i) {
			return true
		}
	}
	return false
}

func modelOpen(rules []modelRule, c clock, i int) bool {
	allowed, some := false, false
	for _, r := range rules {
		switch covers := r.covers(c, i); {
		case r.rule.Deny != "" && covers:
			return false
		case r.rule.Allow != "":
			allowed, some = allowed || covers, true
		}
	}
	return allowed || !some
}

// drawRule draws a rule with ends near wall time about, and says what it means in the weeks around it.
func drawRule(t *rapid.T, about int64) modelRule {
	const day = 24 * 60
	midnight := about - about%day
	var text string
	var spans [][2]int64
	near := func(label string) int64 {
		m := (about + int64(rapid.IntRange(-150, 150).Draw(t, label))) % day
		return rapid.SampledFrom([]int64{m, m, m - m%60, 0}).Draw(t, label+" rounded")
	}
	clock := func(m int64) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }
	date := func(wall int64) string { return time.Unix(wall*60, 0).UTC().Format(time.DateOnly) }
	switch rapid.SampledFrom([]string{"week", "whole", "dates", "moments"}).Draw(t, "form") {
	case "week", "whole":
		from, to := int64(0), int64(day)
		on := rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 7, rapid.ID[int]).Draw(t, "days")
		var names []string
		for _, d := range on {
			names = append(names, time.Weekday(d).String()[:3])
		}
		text = strings.Join(names, ",")
		if rapid.Bool().Draw(t, "timed") {
			from, to = near("from"), near("to")
			if from == to {
				to = (from + 1) % day
			}
			text += " " + clock(from) + "-" + clock(to)
			if to <= from {
				to += day
			}
		}
		for d := midnight - 30*day; d < midnight+30*day; d += day {
			switch last := len(spans) - 1; {
			case !slices.Contains(on, int(time.Unix(d*60, 0).UTC().Weekday())):
			case last >= 0 && to-from == day && spans[last][1] == d: // whole days that follow each other are one window
				spans[last][1] += day
			default:
				spans = append(spans, [2]int64{d + from, d + to})
			}
		}
	case "dates":
		from := midnight + day*int64(rapid.IntRange(-3, 3).Draw(t, "from"))
		to := from + day*int64(rapid.IntRange(0, 3).Draw(t, "days more"))
		text, spans = date(from)+"/"+date(to), [][2]int64{{from, to + day}}
	case "moments":
		from := midnight + day*int64(rapid.IntRange(-2, 1).Draw(t, "from day")) + near("from")
		to := midnight + day*int64(rapid.IntRange(-1, 2).Draw(t, "to day")) + near("to")
		if to <= from {
			to = from + 1
		}
		text, spans = date(from)+" "+clock(from%day)+"/"+date(to)+" "+clock(to%day), [][2]int64{{from, to}}
	}
	if rapid.Bool().Draw(t, "denies") {
		return modelRule{deny(text), spans}
	}
	return modelRule{allow(text), spans}
}

// zones put their clocks back and forward by 15 minutes to a day, at noon, at midnight and near it, and some not at all.
var zones = strings.Fields(`Europe/Berlin Europe/London Europe/Dublin Atlantic/Azores America/New_York America/St_Johns America/Havana America/Santiago
	America/Asuncion America/Sao_Paulo America/Caracas America/Nuuk America/Scoresbysund Africa/Cairo Africa/Casablanca Africa/Monrovia Asia/Gaza
	Asia/Beirut Asia/Amman Asia/Tehran Asia/Kathmandu Asia/Kolkata Asia/Pyongyang Asia/Almaty Australia/Lord_Howe Australia/Eucla
	Pacific/Apia Pacific/Kwajalein Pacific/Fakaofo Pacific/Kiritimati Pacific/Chatham Pacific/Norfolk Antarctica/Troll Antarctica/Casey Antarctica/Vostok`)

// transitions are the minutes from 1975 to 2042 in which the wall clock of zone jumps, found by looking at it.
func transitions(zone *time.Location) []time.Time {
	offset := func(t time.Time) int { _, o := t.In(zone).Zone(); return o }
	var found []time.Time
	for t := time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC); t.Year() < 2042; t = t.Add(24 * time.Hour) {
		if before, after := t, t.Add(24*time.Hour); offset(before) != offset(after) {
			for after.Sub(before) > time.Minute {
				if middle := before.Add(after.Sub(before) / 2).Truncate(time.Minute); offset(middle) == offset(t) {
					before = middle
				} else {
					after = middle
				}
			}
			found = append(found, after)
		}
	}
	return found
}

// What a Set says is what one sees who watches the wall clock go, minute by minute, over days on which it jumps.
func TestModel(t *testing.T) {
	const before, watched, after = 8 * 24 * 60, 3 * 24 * 60, 12 * 24 * 60
	jumps := map[string][]time.Time{}
	for _, name := range zones {
		jumps[name] = append(transitions(zone(t, name)), time.Date(2040, 12, 31, 12, 0, 0, 0, time.UTC))
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		in, err := window.ParseZone(name)
		if err != nil {
			t.Fatal(err)
		}
		jump := rapid.SampledFrom(jumps[name]).Draw(t, "jump")
		c := readClock(in, jump.Add(-before*time.Minute), before+watched+after)
		var rules []modelRule
		for range rapid.IntRange(1, 4).Draw(t, "rules") {
			r := drawRule(t, c.shows[before])
			_, errs := window.New(in, []window.Rule{r.rule})
			if refused := len(errs) > 0; refused == r.ever(c) {
				t.Fatalf("%+v: %v", r, errs)
			} else if !refused {
				rules = append(rules, r)
			}
		}
		open := make([]bool, len(c.shows))
		for i := range c.shows {
			open[i] = modelOpen(rules, c, i)
		}
		var written []window.Rule
		for _, r := range rules {
			written = append(written, r.rule)
		}
		whole, errs := window.New(in, written)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		compare(t, whole, c, open, before-watched/2, before+watched/2)
	})
}

// compare asks s in minutes from one up to another: each fifth, and those beside a change.
func compare(t *rapid.T, s window.Set, c clock, open []bool, from, to int) {
	change := len(open) // the first minute in which it is not as in minute i
	for i := len(open) - 2; i >= from; i-- {
		if open[i] != open[i+1] {
			change = i + 1
		}
		if beside := open[i] != open[i+1] || open[i] != open[i-1]; i >= to || i%5 > 0 && !beside {
			continue
		}
		now := c.from.Add(time.Duration(i) * time.Minute)
		v := s.At(now)
		until := int(v.Until.Sub(c.from) / time.Minute)
		if v.Until.IsZero() || until >= len(open) {
			until = len(open)
		}
		if v.Open != open[i] || until != change || (v.Reason == "") != v.Open {
			t.Fatalf("at %v: %+v, want %v until %v", now, v, open[i], c.from.Add(time.Duration(change)*time.Minute))
		}
	}
}
