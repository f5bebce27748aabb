package window_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"windlass/desired/window"
)

func allow(text string) window.Rule { return window.Rule{Allow: text} }
func deny(text string) window.Rule  { return window.Rule{Deny: text} }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := window.ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func set(t testing.TB, zoneName string, rules ...window.Rule) window.Set {
	t.Helper()
	s, errs := window.New(zone(t, zoneName), rules)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

// at reads an instant such as 2026-03-29T02:30+02:00.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse("2006-01-02T15:04Z07:00", text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// story tells how s goes on from an instant, as it says by itself, up to n changes: "shut, 03-29T03:00+02:00 open".
func story(s window.Set, from time.Time, in *time.Location, n int) string {
	words := map[bool]string{true: "open", false: "shut"}
	v := s.At(from)
	told := words[v.Open]
	for ; n > 0 && !v.Until.IsZero(); n-- {
		at := v.Until
		v = s.At(at)
		told += ", " + at.In(in).Format("01-02T15:04Z07:00") + " " + words[v.Open]
	}
	return told
}

func TestWindows(t *testing.T) {
	rules := func(rules ...window.Rule) []window.Rule { return rules }
	for _, c := range []struct {
		name  string
		zone  string
		rules []window.Rule
		from  string
		want  string // the changes from then on, by the zone's clock
	}{
		{"no rule", "UTC", nil, "2026-11-30T00:00Z", "open"},
		{"office hours", "UTC", rules(allow("Mon-Fri 09:00-16:00")), "2026-11-27T12:00Z", "open, 11-27T16:00Z shut, 11-30T09:00Z open, 11-30T16:00Z shut"},
		{"at a start", "UTC", rules(allow("Mon-Fri 09:00-16:00")), "2026-11-27T09:00Z", "open, 11-27T16:00Z shut"},
		{"at an end", "UTC", rules(allow("Mon-Fri 09:00-16:00")), "2026-11-27T16:00Z", "shut, 11-30T09:00Z open"},
		{"any case", "UTC", rules(allow("mon-FRI 09:00-16:00")), "2026-11-27T16:00Z", "shut, 11-30T09:00Z open"},
		{"over midnight, by the day it starts", "UTC", rules(allow("Mon,Wed 22:00-02:00")), "2026-11-30T01:00Z", "shut, 11-30T22:00Z open, 12-01T02:00Z shut, 12-02T22:00Z open, 12-03T02:00Z shut, 12-07T22:00Z open"},
		{"up to midnight", "UTC", rules(allow("Mon 22:00-24:00"), allow("Wed 22:00-00:00")), "2026-11-30T00:00Z", "shut, 11-30T22:00Z open, 12-01T00:00Z shut, 12-02T22:00Z open, 12-03T00:00Z shut"},
		{"whole days", "UTC", rules(deny("Sat-Sun")), "2026-11-27T12:00Z", "open, 11-28T00:00Z shut, 11-30T00:00Z open, 12-05T00:00Z shut"},
		{"days that wrap", "UTC", rules(allow("Fri-Mon")), "2026-11-25T12:00Z", "shut, 11-27T00:00Z open, 12-01T00:00Z shut, 12-04T00:00Z open"},
		{"a list of days", "UTC", rules(allow("Mon,Wed-Thu,Sat 00:00-24:00")), "2026-11-29T12:00Z", "shut, 11-30T00:00Z open, 12-01T00:00Z shut, 12-02T00:00Z open, 12-04T00:00Z shut, 12-05T00:00Z open, 12-06T00:00Z shut"},
		{"each day", "Asia/Kolkata", rules(allow("09:00-16:00")), "2026-11-28T00:00Z", "shut, 11-28T09:00+05:30 open, 11-28T16:00+05:30 shut, 11-29T09:00+05:30 open"},
		{"each day, whole", "UTC", rules(allow("Mon-Sun")), "2026-11-28T00:00Z", "open"},
		{"never", "UTC", rules(deny("00:00-24:00")), "2026-11-28T00:00Z", "shut"},
		{"a date", "Asia/Kolkata", rules(deny("2026-12-24")), "2026-12-01T00:00Z", "open, 12-24T00:00+05:30 shut, 12-25T00:00+05:30 open"},
		{"dates, the last included", "UTC", rules(deny("2026-12-20/2027-01-02")), "2026-12-01T00:00Z", "open, 12-20T00:00Z shut, 01-03T00:00Z open"},
		{"dates with times", "UTC", rules(deny("2026-12-24 12:00/2026-12-27 08:00")), "2026-12-01T00:00Z", "open, 12-24T12:00Z shut, 12-27T08:00Z open"},
		{"dates up to 24:00", "UTC", rules(deny("2026-12-24 12:00/2026-12-24 24:00")), "2026-12-01T00:00Z", "open, 12-24T12:00Z shut, 12-25T00:00Z open"},
		{"a leap day", "UTC", rules(deny("2028-02-29")), "2028-02-01T00:00Z", "open, 02-29T00:00Z shut, 03-01T00:00Z open"},
		{"dates alone may allow", "UTC", rules(allow("2026-12-24")), "2026-12-01T00:00Z", "shut, 12-24T00:00Z open, 12-25T00:00Z shut"},
		{"a deny beats an allow", "UTC", rules(allow("Mon-Fri 09:00-16:00"), deny("Fri 12:00-14:00")), "2026-11-27T10:00Z", "open, 11-27T12:00Z shut, 11-27T14:00Z open, 11-27T16:00Z shut"},
		{"a freeze over weeks of windows", "UTC", rules(allow("Mon-Fri 09:00-16:00"), deny("2026-12-20/2027-01-03")), "2026-12-18T15:00Z", "open, 12-18T16:00Z shut, 01-04T09:00Z open"},
		{"freezes that follow each other", "UTC", rules(deny("2026-12-20"), deny("2026-12-21 00:00/2026-12-21 10:00"), deny("09:00-11:00")), "2026-12-19T23:00Z", "open, 12-20T00:00Z shut, 12-21T11:00Z open"},
		{"windows that overlap", "UTC", rules(allow("Mon 09:00-12:00"), allow("Mon 11:00-15:00"), allow("Mon 15:00-16:00")), "2026-11-30T08:00Z", "shut, 11-30T09:00Z open, 11-30T16:00Z shut, 12-07T09:00Z open"},
		{"windows that overlap, the later one first", "UTC", rules(allow("Mon 11:00-15:00"), allow("Mon 09:00-12:00")), "2026-11-30T10:00Z", "open, 11-30T15:00Z shut, 12-07T09:00Z open"},
		{"a window that a freeze hides", "UTC", rules(allow("Mon 09:00-12:00"), deny("Mon 08:00-13:00")), "2026-11-30T08:00Z", "shut"},
		{"just within what is looked at", "UTC", rules(deny("2026-01-01 00:00/2027-02-05 00:00")), "2026-01-01T00:00Z", "shut, 02-05T00:00Z open"},
		{"just beyond what is looked at", "UTC", rules(deny("2026-01-01 00:00/2027-02-05 00:01")), "2026-01-01T00:00Z", "shut"},

		{"Berlin: a start that is missing", "Europe/Berlin", rules(deny("02:30-06:00")), "2026-03-29T00:00Z", "open, 03-29T03:00+02:00 shut, 03-29T06:00+02:00 open"},
		{"Berlin: an end that is missing", "Europe/Berlin", rules(allow("Sun 01:00-02:30")), "2026-03-28T23:30Z", "shut, 03-29T01:00+01:00 open, 03-29T03:00+02:00 shut"},
		{"Berlin: both are missing", "Europe/Berlin", rules(deny("Sun 02:15-02:45")), "2026-03-28T23:30Z", "open, 04-05T02:15+02:00 shut"},
		{"Berlin: a freeze in what is there twice", "Europe/Berlin", rules(deny("Sun 02:15-02:45")), "2026-10-24T22:30Z", "open, 10-25T02:15+02:00 shut, 10-25T02:45+01:00 open"},
		{"Berlin: a window in what is there twice", "Europe/Berlin", rules(allow("Sun 02:15-02:45")), "2026-10-24T22:30Z", "shut, 11-01T02:15+01:00 open"},
		{"Berlin: a window into what is there twice", "Europe/Berlin", rules(allow("Sun 01:00-02:30")), "2026-10-24T22:30Z", "shut, 10-25T01:00+02:00 open, 10-25T02:30+02:00 shut"},
		{"Berlin: a window out of what is there twice", "Europe/Berlin", rules(allow("Sun 02:30-04:00")), "2026-10-24T22:30Z", "shut, 10-25T02:30+01:00 open, 10-25T04:00+01:00 shut"},
		{"Berlin: a freeze up to where it begins", "Europe/Berlin", rules(deny("Sun 01:00-02:00")), "2026-10-24T22:30Z", "open, 10-25T01:00+02:00 shut, 10-25T02:00+01:00 open"},
		{"Berlin: a freeze up to where it is over", "Europe/Berlin", rules(deny("Sun 01:00-03:00")), "2026-10-24T22:30Z", "open, 10-25T01:00+02:00 shut, 10-25T03:00+01:00 open"},
		{"New York: a start that is missing", "America/New_York", rules(deny("02:30-06:00")), "2026-03-08T06:00Z", "open, 03-08T03:00-04:00 shut, 03-08T06:00-04:00 open"},
		{"New York: a freeze in what is there twice", "America/New_York", rules(deny("Sun 01:15-01:45")), "2026-11-01T04:00Z", "open, 11-01T01:15-04:00 shut, 11-01T01:45-05:00 open"},
		{"New York: the last day of a leap year", "America/New_York", rules(deny("2040-12-31 06:00/2041-01-01 06:00"), deny("Thu 06:00-07:00")), "2040-12-31T00:00Z", "open, 12-31T06:00-05:00 shut, 01-01T06:00-05:00 open, 01-03T06:00-05:00 shut"},
		{"Lord Howe: half an hour is missing", "Australia/Lord_Howe", rules(deny("Sun 02:15-04:00")), "2026-10-03T13:30Z", "open, 10-04T02:30+11:00 shut, 10-04T04:00+11:00 open"},
		{"Lord Howe: half an hour is there twice", "Australia/Lord_Howe", rules(deny("Sun 01:45-01:50")), "2026-04-04T13:30Z", "open, 04-05T01:45+11:00 shut, 04-05T01:50+10:30 open"},
		{"Cairo: midnight is missing", "Africa/Cairo", rules(deny("Fri")), "2026-04-23T12:00Z", "open, 04-24T01:00+03:00 shut, 04-25T00:00+03:00 open"},
		{"Cairo: a date whose midnight is missing", "Africa/Cairo", rules(deny("2026-04-24")), "2026-04-23T12:00Z", "open, 04-24T01:00+03:00 shut, 04-25T00:00+03:00 open"},
		{"Cairo: the last hour of a day twice", "Africa/Cairo", rules(allow("Thu")), "2026-10-28T12:00Z", "shut, 10-29T00:00+03:00 open, 10-30T00:00+02:00 shut"},
		{"Havana: midnight is missing", "America/Havana", rules(deny("Sun")), "2026-03-07T12:00Z", "open, 03-08T01:00-04:00 shut, 03-09T00:00-04:00 open"},
		{"Havana: midnight is there twice", "America/Havana", rules(deny("Sun")), "2026-10-31T12:00Z", "open, 11-01T00:00-04:00 shut, 11-02T00:00-05:00 open"},
		{"Havana: a window from the second", "America/Havana", rules(allow("Sun")), "2026-10-31T12:00Z", "shut, 11-01T00:00-05:00 open, 11-02T00:00-05:00 shut"},
		{"Havana: no border between days", "America/Havana", rules(allow("Sat-Sun")), "2026-10-30T12:00Z", "shut, 10-31T00:00-04:00 open, 11-02T00:00-05:00 shut"},
		{"Santiago: midnight is missing", "America/Santiago", rules(deny("Sun")), "2026-09-05T12:00Z", "open, 09-06T01:00-03:00 shut, 09-07T00:00-03:00 open"},
		{"Santiago: the last hour of a day twice", "America/Santiago", rules(deny("Sat 23:30-24:00")), "2026-04-04T12:00Z", "open, 04-04T23:30-03:00 shut, 04-05T00:00-04:00 open"},
		{"Apia: a day is missing", "Pacific/Apia", rules(allow("Fri")), "2011-12-29T12:00Z", "shut, 01-06T00:00+14:00 open"},
		{"Apia: a freeze that begins on it", "Pacific/Apia", rules(deny("2011-12-30/2012-01-01")), "2011-12-29T12:00Z", "open, 12-31T00:00+14:00 shut, 01-02T00:00+14:00 open"},
		{"Apia: a freeze that ends on it", "Pacific/Apia", rules(deny("Thu 12:00-08:00")), "2011-12-29T12:00Z", "open, 12-29T12:00-10:00 shut, 12-31T00:00+14:00 open"},
		{"St. John's: a start missing after midnight and a minute", "America/St_Johns", rules(deny("Sun 00:30-02:00")), "2010-03-14T00:00Z", "open, 03-14T01:01-02:30 shut, 03-14T02:00-02:30 open"},
		{"St. John's: back from midnight and a minute", "America/St_Johns", rules(deny("Fri 23:45-23:30")), "2010-11-07T02:30Z", "shut, 11-06T23:30-03:30 open, 11-12T23:45-03:30 shut"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, in := set(t, c.zone, c.rules...), zone(t, c.zone)
			if got := story(s, at(t, c.from), in, max(1, strings.Count(c.want, ","))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Between two seconds it is what it was at the first.
func TestFractionsOfSeconds(t *testing.T) {
	s := set(t, "UTC", allow("09:00-16:00"))
	nine := at(t, "2026-11-30T09:00Z")
	for _, c := range []struct {
		now  time.Time
		open bool
	}{{nine.Add(-1), false}, {nine, true}, {nine.Add(7*time.Hour - 1), true}, {nine.Add(7 * time.Hour), false}} {
		if got := s.At(c.now); got.Open != c.open || !got.Until.After(c.now) {
			t.Errorf("at %v: %+v", c.now, got)
		}
	}
}

func TestReasons(t *testing.T) {
	office := allow("Mon-Fri 09:00-16:00")
	freeze := window.Rule{Deny: "2026-12-20/2027-01-02", Reason: "code freeze"}
	for _, c := range []struct {
		name  string
		rules []window.Rule
		now   string
		want  string
	}{
		{"open", []window.Rule{office, freeze}, "2026-11-30T12:00Z", ""},
		{"open at any time", []window.Rule{allow("Mon-Sun")}, "2026-11-30T12:00Z", ""},
		{"outside", []window.Rule{office, freeze}, "2026-11-30T18:00Z", "outside of 'Mon-Fri 09:00-16:00' (Europe/Berlin)"},
		{"outside, with a reason", []window.Rule{{Allow: "Mon 09:00-16:00", Reason: "when we are in"}}, "2026-11-30T18:00Z", "outside of 'Mon 09:00-16:00' (Europe/Berlin): when we are in"},
		{"outside of several: the next one", []window.Rule{allow("Fri"), office, freeze, allow("Thu")}, "2026-11-30T18:00Z", "outside of 'Mon-Fri 09:00-16:00' and of 2 more (Europe/Berlin)"},
		{"denied, and outside", []window.Rule{office, freeze}, "2026-12-20T12:00Z", "denied by '2026-12-20/2027-01-02' (Europe/Berlin): code freeze"},
		{"denied twice: by the one that lasts", []window.Rule{deny("Sun"), freeze, deny("2026-12-20")}, "2026-12-20T12:00Z", "denied by '2026-12-20/2027-01-02' (Europe/Berlin): code freeze"},
		{"denied for less time than outside", []window.Rule{deny("Sat 12:00-14:00"), office}, "2026-12-19T12:00Z", "outside of 'Mon-Fri 09:00-16:00' (Europe/Berlin)"},
		{"all is past", []window.Rule{allow("2025-01-01"), allow("2025-01-02")}, "2026-12-20T12:00Z", "outside of '2025-01-01' and of 1 more (Europe/Berlin); nothing opens it within 400 days"},
		{"too far away", []window.Rule{deny("2026-01-01/2036-01-01")}, "2026-12-20T12:00Z", "denied by '2026-01-01/2036-01-01' (Europe/Berlin); nothing opens it within 400 days"},
		{"always", []window.Rule{deny("Mon-Sun")}, "2026-12-20T12:00Z", "denied by 'Mon-Sun' (Europe/Berlin); nothing opens it within 400 days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := set(t, "Europe/Berlin", c.rules...).At(at(t, c.now)); got.Reason != c.want || got.Open != (c.want == "") {
				t.Errorf("got  %+v\nwant %s", got, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Monday", `"Monday" is no day; days are Mon, Tue, Wed, Thu, Fri, Sat and Sun; write days,`},
		{"Mon-Fr 09:00-16:00", `"Fr" is no day;`},
		{"Mon, Wed", `"" is no day;`},
		{"Mon–Fri", `"Mon–Fri" is no day;`},
		{"Foo", `"Foo" is no day;`},
		{"FRİ", `"FRİ" is no day;`},
		{"ſun", `"ſun" is no day;`},
		{"0 9 * * 1-5", `"0" is no day;`},
		{"@daily", `"@daily" is no day;`},
		{" ", `"" is no day;`},
		{"2026-12", `"2026" is no day;`},
		{"\x1b[31m", `"\x1b[31m" is no day;`},
		{"Fri-Fri", `"Fri-Fri" begins and ends on one day; write Fri alone, or Mon-Sun for all`},
		{"Mon 09:00", `"09:00" is no range of times; write days,`},
		{"Mon 9:00-16:00", `"9:00" is no time; times are two digits each, 00:00 to 23:59, and 24:00 for an end; write days,`},
		{"Mon 9-16", `"9" is no time;`},
		{"09:00-25:00", `"25:00" is no time;`},
		{"09:00-12:60", `"12:60" is no time;`},
		{"09:00-24:01", `"24:01" is no time;`},
		{"09:00-12:00,13:00-16:00", `"12:00,13:00-16:00" is no time;`},
		{"09:00-16:00 Mon-Fri", `"09:00" is no day;`},
		{"Mon 24:00-02:00", "nothing starts at 24:00; write 00:00 of the day after"},
		{"Mon 09:00-09:00", `"09:00-09:00" ends when it starts; a whole day is 00:00-24:00`},
		{"2026-12-24T12:00/2026-12-27T08:00", `"2026-12-24T12:00" is no date; dates are as 2026-12-24; write days,`},
		{"24.12.2026", `"24.12.2026" is no date;`},
		{"2026/12/24", `"2026" is no date;`},
		{"2026-1-2", `"2026-1-2" is no date;`},
		{"2026-02-29", "there is no 2026-02-29 in the calendar; correct the month or the day"},
		{"2026-12-20/2026-13-01", "there is no 2026-13-01 in the calendar;"},
		{"2026-12-24 12:00", `"2026-12-24 12:00" has a time for one end only; give both a date and a time, as '2026-12-24 12:00/2026-12-27 08:00', or none a time`},
		{"2026-12-24 12:00/2026-12-27", `"2026-12-24 12:00/2026-12-27" has a time for one end only;`},
		{"2026-12-24/2026-12-27 12:00", `"2026-12-24/2026-12-27 12:00" has a time for one end only;`},
		{"2026-12-24 24:00/2026-12-27 12:00", "nothing starts at 24:00;"},
		{"2026-12-24 12:00/2026-12-24 12:00", `"2026-12-24 12:00/2026-12-24 12:00" ends when it starts, so it is never`},
		{"2027-01-02/2026-12-20", `"2027-01-02/2026-12-20" ends before it starts, so it is never`},
		{"2026-12-24/2026-12-27/2026-12-30", `"2026-12-27/2026-12-30" is no date;`},
		{"2011-12-30", `"2011-12-30" is never in Pacific/Apia, whose clocks skip it or show it twice; choose other times`},
		{strings.Repeat("M", 40), `"` + strings.Repeat("M", 40) + `" is no day;`},
		{strings.Repeat("M", 41), `"` + strings.Repeat("M", 40) + `…" is no day;`},
		{strings.Repeat("M", 100), `"` + strings.Repeat("M", 40) + `…" is no day;`},
		{strings.Repeat("Mon,", 25) + "Mon", `"Mon,Mon,Mon,Mon,Mon,Mon,Mon,Mon,Mon,Mon,…" is too long; write days,`},
	} {
		for key, rule := range map[string]window.Rule{"allow": allow(c.text), "deny": deny(c.text)} {
			s, errs := window.New(zone(t, "Pacific/Apia"), []window.Rule{allow("Mon"), rule})
			if v := s.At(at(t, "2026-11-30T12:00Z")); v.Open || !v.Until.IsZero() || v.Reason != "its rules cannot be understood; nothing opens it within 400 days" {
				t.Errorf("%s %q: %+v", key, c.text, v)
			}
			if len(errs) != 1 || errs[0].Rule != 1 || errs[0].Key != key || !strings.HasPrefix(errs[0].Text, c.want) {
				t.Errorf("%s %q: got %+v\nwant %s", key, c.text, errs, c.want)
			}
		}
	}
}

func TestErrorsOfRules(t *testing.T) {
	many := slices.Repeat([]window.Rule{allow("Mon")}, window.MostRules)
	for _, c := range []struct {
		name  string
		rules []window.Rule
		want  string
	}{
		{"nothing", []window.Rule{{}}, "[rules[0]: a rule needs allow or deny]"},
		{"a reason alone", []window.Rule{{Reason: "why"}}, "[rules[0]: a rule needs allow or deny]"},
		{"both", []window.Rule{{Allow: "Mon", Deny: "Tue"}}, "[rules[0]: a rule has allow or deny, not both; write two rules]"},
		{"a reason of two lines", []window.Rule{{Deny: "Mon", Reason: "a\nb"}}, "[rules[0].reason: a reason is one line of at most 200 printable characters]"},
		{"a reason that is no text", []window.Rule{{Deny: "Mon", Reason: "\xff"}}, "[rules[0].reason: a reason is one line of at most 200 printable characters]"},
		{"a reason that turns text round", []window.Rule{{Deny: "Mon", Reason: "\u202e"}}, "[rules[0].reason: a reason is one line of at most 200 printable characters]"},
		{"a long reason", []window.Rule{{Deny: "Mon", Reason: strings.Repeat("ä", 201)}}, "[rules[0].reason: a reason is one line of at most 200 printable characters]"},
		{"the longest reason", []window.Rule{{Deny: "Mon", Reason: strings.Repeat("ä", 200)}}, "[]"},
		{"each mistake", []window.Rule{allow("Mo"), deny("Mon"), deny("2026-02-30")}, fmt.Sprintf("[rules[0].allow: %s rules[2].deny: there is no 2026-02-30 in the calendar; correct the month or the day]", mistake(t, "Mo"))},
		{"a window between two readings", []window.Rule{allow("2026-10-25 02:15/2026-10-25 02:45")}, `[rules[0].allow: "2026-10-25 02:15/2026-10-25 02:45" is never in Europe/Berlin, whose clocks skip it or show it twice; choose other times]`},
		{"a freeze of both readings", []window.Rule{deny("2026-10-25 02:15/2026-10-25 02:45")}, "[]"},
		{"as many rules as can be", many, "[]"},
		{"too many rules", append(slices.Clone(many), many...), "[rules[100]: there are 200 rules; at most 100 are allowed]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, errs := window.New(zone(t, "Europe/Berlin"), c.rules); fmt.Sprint(errs) != c.want {
				t.Errorf("got  %v\nwant %s", errs, c.want)
			}
		})
	}
}

func mistake(t *testing.T, text string) string {
	t.Helper()
	_, errs := window.New(nil, []window.Rule{allow(text)})
	if len(errs) != 1 {
		t.Fatalf("%q: %v", text, errs)
	}
	return errs[0].Text
}

func TestWithoutAZoneItIsUTC(t *testing.T) {
	s, errs := window.New(nil, []window.Rule{deny("00:00-12:00")})
	if got := s.At(at(t, "2026-11-30T11:00Z")); len(errs) > 0 || got.Reason != "denied by '00:00-12:00' (UTC)" || !got.Until.Equal(at(t, "2026-11-30T12:00Z")) {
		t.Errorf("%+v, %v", got, errs)
	}
}

func TestParseZone(t *testing.T) {
	const write = "; write a region's name such as Europe/Berlin or America/New_York, or UTC"
	for _, c := range []struct{ name, want string }{
		{"UTC", ""}, {"Etc/UTC", ""}, {"Europe/Berlin", ""}, {"America/Argentina/Buenos_Aires", ""}, {"America/Port-au-Prince", ""}, {"US/Eastern", ""},
		{"", "a time zone is missing" + write},
		{"Local", `"Local" is another time zone on each machine` + write},
		{"CEST", `"CEST" is no region's time zone` + write},
		{"CET", `"CET" is no region's time zone` + write},
		{"EST5EDT", `"EST5EDT" is no region's time zone` + write},
		{"GMT", `"GMT" is no region's time zone` + write},
		{"Etc/GMT+5", `"Etc/GMT+5" is no region's time zone` + write},
		{"CET-1CEST,M3.5.0,M10.5.0/3", `"CET-1CEST,M3.5.0,M10.5.0/3" is no region's time zone` + write},
		{":Europe/Berlin", `":Europe/Berlin" is no region's time zone` + write},
		{"+02:00", `"+02:00" is no region's time zone` + write},
		{"America/New York", `"America/New York" is no region's time zone` + write},
		{"europe/berlin", `"europe/berlin" is no region's time zone` + write},
		{"posix/Europe/Berlin", `"posix/Europe/Berlin" is no region's time zone` + write},
		{"../Europe/Berlin", `"../Europe/Berlin" is no region's time zone` + write},
		{"/etc/localtime", `"/etc/localtime" is no region's time zone` + write},
		{"Europe/Berlin\n", `"Europe/Berlin\n" is no region's time zone` + write},
		{"Europe/Berln", `time zone "Europe/Berln" is not known` + write},
		{"Europe/" + strings.Repeat("A", 100), `time zone "Europe/` + strings.Repeat("A", 33) + `…" is not known` + write},
	} {
		z, err := window.ParseZone(c.name)
		switch {
		case c.want == "" && (err != nil || z.String() != strings.TrimPrefix(c.name, "Etc/")):
			t.Errorf("%q: %v, %v", c.name, z, err)
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%q: got %v\nwant %s", c.name, err, c.want)
		}
	}
}

// Twenty windows of a minute each, an hour apart, and as many denied quarters of an hour before them.
func TestManyRules(t *testing.T) {
	var rules []window.Rule
	for h := range 20 {
		rules = append(rules, allow(fmt.Sprintf("%02d:30-%02d:31", h, h)), deny(fmt.Sprintf("%02d:00-%02d:15", h, h)))
	}
	const want = "shut, 11-30T10:30Z open, 11-30T10:31Z shut, 11-30T11:30Z open"
	if got := story(set(t, "UTC", rules...), at(t, "2026-11-30T10:00Z"), time.UTC, 3); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAtAllocatesNothing(t *testing.T) {
	s := set(t, "Europe/Berlin", deny("2026-12-20/2027-01-02"), deny("Sat-Sun"), allow("Mon-Fri 09:00-16:00"))
	for _, now := range []string{"2026-11-30T12:00Z", "2026-12-20T12:00Z"} {
		instant := at(t, now)
		if n := testing.AllocsPerRun(100, func() { s.At(instant) }); n > 0 {
			t.Errorf("at %s: %v allocations", now, n)
		}
	}
}
