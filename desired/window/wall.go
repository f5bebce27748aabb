package window

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A wall time is what a clock on the wall shows, as the seconds since 1970 that it would be in UTC.

const (
	minute = 60
	day    = 24 * 60 * minute
)

// farthest is more than the wall clock of any zone has ever been from UTC, which is a little less (Manila until 1844).
const farthest = 16 * 60 * minute

// resolve finds the instants of a window from one wall time up to another. One that denies lasts from the first reading of its start to the
// last of its end, and one that allows from the last of its start to the first of its end, so that it may have none.
func (w *window) resolve(from, to int64) span {
	firstFrom, lastFrom := readings(w.zone, from)
	firstTo, lastTo := readings(w.zone, to)
	if w.deny {
		return span{firstFrom, lastTo}
	}
	return span{lastFrom, firstTo}
}

// readings finds the first and the last instant at which clocks in zone come to a wall time: the same one but where they are put back over
// it. Where they are put forward over it, it is the instant at which they are.
//
// It rests on what zone says of instants only. What time.Date makes of a wall time that is missing or ambiguous is not fixed: in Go 1.26 it
// is before a missing time in New York and after it in Berlin.
func readings(zone *time.Location, wall int64) (first, last int64) {
	first = never
	for t := wall - farthest; t < wall+farthest; {
		offset, end := offsetAt(zone, t)
		if first == never && end+offset > wall {
			first = max(t, wall-offset)
		}
		if t+offset <= wall {
			last = min(end, wall-offset)
		}
		t = end
	}
	return first, last
}

// offsetAt is how far the wall clock is from UTC at t, and up to when at least, which is after t.
func offsetAt(zone *time.Location, t int64) (offset, end int64) {
	const quarter = 15 * minute
	at := time.Unix(t, 0).In(zone)
	_, seconds := at.Zone()
	offset, end = int64(seconds), t-t%quarter+quarter
	// On 31 December of a leap year ZoneBounds can end before it begins (Go 1.26, years past the zone's table).
	if _, bound := at.ZoneBounds(); bound.IsZero() {
		end = t + 2*farthest
	} else if bound.Unix() > t {
		end = bound.Unix()
	}
	return offset, end
}

var region = regexp.MustCompile(`^[A-Z][A-Za-z]+(/[A-Z][A-Za-z0-9_+-]*)+$`)

// ParseZone finds a time zone by its IANA name, which is a region's (Europe/Berlin) or UTC. Abbreviations (CEST, EST5EDT) and other names that
// do not say where, offsets, rules and "Local" are errors, which say what to write.
func ParseZone(name string) (*time.Location, error) {
	const write = "write a region's name such as Europe/Berlin or America/New_York, or UTC"
	switch {
	case name == "UTC", name == "Etc/UTC":
		return time.UTC, nil
	case name == "":
		return nil, fmt.Errorf("a time zone is missing; %s", write)
	case name == "Local":
		return nil, fmt.Errorf("%q is another time zone on each machine; %s", name, write)
	case !region.MatchString(name), strings.HasPrefix(name, "Etc/"): // Etc/GMT+5 is five hours behind UTC
		return nil, fmt.Errorf("%q is no region's time zone; %s", shorten(name), write)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q is not known; %s", shorten(name), write)
	}
	return zone, nil
}
