package window

import (
	"cmp"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// MostRules is how many rules a Set is made from at most, and MostReason how many characters a rule's reason has.
const (
	MostRules  = 100
	MostReason = 200
)

// Horizon is how far At looks ahead.
const Horizon = 400 * 24 * time.Hour

// A Rule is one rule as it is written: Allow or Deny is an expression, the other is empty. Where any rule allows, what none allows is shut;
// what one denies is shut whatever others allow.
//
//	Mon-Fri 09:00-16:00                   days and times; a list too: Mon,Wed,Fri-Sun
//	Sat-Sun                               whole days
//	22:00-02:00                           each day; over midnight it belongs to the day on which it starts
//	2026-12-24                            a date
//	2026-12-20/2027-01-02                 dates, both inclusive
//	2026-12-24 12:00/2026-12-27 08:00     from a minute up to another
//
// A time that ends something may be 24:00.
type Rule struct {
	Allow, Deny string
	Reason      string // for people; may be empty
}

// An Error is what is wrong with one rule.
type Error struct {
	Rule int    // its index
	Key  string // "allow", "deny" or "reason"; empty: the rule as a whole
	Text string // one line, without the place
}

// Error is the text after the rule's place among the rules.
func (e Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("rules[%d]: %s", e.Rule, e.Text)
	}
	return fmt.Sprintf("rules[%d].%s: %s", e.Rule, e.Key, e.Text)
}

// A Set is the rules of one `windows:`. The zero value is open at any time. It may be used by several goroutines at once.
type Set []window

// A window is a rule understood.
type window struct {
	pattern
	zone   *time.Location
	deny   bool
	once   span   // when it is, unless it is weekly
	reason string // why it is shut, where this rule shuts it
}

// New understands rules, whose times are those of zone (nil: UTC). The errors are what is wrong with any of them, in their order; with one,
// the Set never opens.
func New(zone *time.Location, rules []Rule) (Set, []Error) {
	var errs []Error
	var s Set
	for i, r := range rules[:min(len(rules), MostRules)] {
		w, key, err := understand(cmp.Or(zone, time.UTC), r)
		if err != nil {
			errs = append(errs, Error{i, key, err.Error()})
		}
		s = append(s, w)
	}
	if len(rules) > MostRules {
		errs = append(errs, Error{Rule: MostRules, Text: fmt.Sprintf("there are %d rules; at most %d are allowed", len(rules), MostRules)})
	}
	if len(errs) > 0 {
		return Set{{deny: true, once: forever, reason: "its rules cannot be understood"}}, errs
	}
	s.explain(rules)
	return s, nil
}

// understand also names the key that an error is about.
func understand(zone *time.Location, r Rule) (w window, key string, err error) {
	w = window{zone: zone, deny: r.Deny != ""}
	key = "allow"
	if w.deny {
		key = "deny"
	}
	switch {
	case r.Allow != "" && r.Deny != "":
		return w, "", errors.New("a rule has allow or deny, not both; write two rules")
	case r.Allow == "" && r.Deny == "":
		return w, "", errors.New("a rule needs allow or deny")
	case utf8.RuneCountInString(r.Reason) > MostReason || !utf8.ValidString(r.Reason) || !printable(r.Reason):
		return w, "reason", fmt.Errorf("a reason is one line of at most %d printable characters", MostReason)
	}
	text := r.Allow + r.Deny
	if w.pattern, err = parse(text); err != nil {
		return w, key, err
	}
	switch {
	case w.weekly():
		return w, key, nil
	case w.always:
		w.once = forever
	default:
		w.once = w.resolve(w.from, w.to)
	}
	if w.once.from >= w.once.to {
		return w, key, fmt.Errorf("%q is never in %s, whose clocks skip it or show it twice; choose other times", text, zone)
	}
	return w, key, nil
}

func printable(s string) bool {
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// explain writes down what each rule says where it shuts.
func (s Set) explain(rules []Rule) {
	allows := 0
	for _, w := range s {
		if !w.deny {
			allows++
		}
	}
	others := ""
	if allows > 1 {
		others = fmt.Sprintf(" and of %d more", allows-1)
	}
	for i := range s {
		w, r := &s[i], rules[i]
		if w.deny {
			w.reason = fmt.Sprintf("denied by '%s' (%s)", r.Deny, w.zone)
		} else {
			w.reason = fmt.Sprintf("outside of '%s'%s (%s)", r.Allow, others, w.zone)
		}
		if r.Reason != "" {
			w.reason += ": " + r.Reason
		}
	}
}
