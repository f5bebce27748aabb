package actuators

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a node record. A writer keeps to them, a reader refuses what does not.
const (
	MaxRecordBytes = 64 << 10
	MaxMemberships = 64      // NodeRecord.Taken, NodeRecord.Places
	MaxRetry       = 1000000 // Try.Retry, Halt.Retry: what a fleet file may hold
	MaxRepairs     = 1000    // NodeRecord.Repairs; a writer counts no further
	MaxHalts       = 32      // NodeRecord.Halts; drop the oldest first
	MaxFacts       = 32      // NodeRecord.Facts
	MaxErrorBytes  = 4 << 10 // Try.Error
	MaxReasonBytes = 512     // Halt.Reason
)

var (
	fleetPattern   = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	releasePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$`)
	tokenPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+-]{0,252}$`) // digests, revisions, ids, node names, zones
	commitPattern  = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	groupPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+/ -]{0,511}$`)     // an ARN, or classic/name
	jobPattern     = regexp.MustCompile(`^[a-z0-9]{0,16}$`)                           // becomes part of a path
	noncePattern   = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)                       // the node's shell compares it
	stages         = []Stage{Idle, Preparing, Leaving, Configuring, Verified, Failed} // known to RecordSchema
)

// EncodeRecord returns the record's bytes as they stand on a node: indented JSON in the order of NodeRecord's fields, times in UTC, a
// newline at the end. The same record always gives the same bytes, and the node's shell finds the claim's nonce and expiry each on
// a line of its own. Free text (Try.Error, Halt.Reason) is clipped and cleaned to fit; anything else that DecodeRecord would refuse
// is an error.
func EncodeRecord(r NodeRecord) ([]byte, error) {
	r = canonical(r)
	if err := check(r, r.Fleet); err != nil {
		return nil, fmt.Errorf("cannot encode the node record of fleet %q: %w", r.Fleet, err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("cannot encode the node record of fleet %q: %w", r.Fleet, err)
	}
	if b.Len() > MaxRecordBytes {
		return nil, fmt.Errorf("cannot encode the node record of fleet %q: %d bytes, at most %d are allowed", r.Fleet, b.Len(), MaxRecordBytes)
	}
	return b.Bytes(), nil
}

// DecodeRecord reads what EncodeRecord wrote. The bytes come from a node, which may be in an attacker's hands: sizes, names, stages and
// times are bounded and checked. The error is ErrNewerSchema for a record this version must not touch; any other error means the bytes
// are no record of this fleet.
func DecodeRecord(b []byte, fleet string) (NodeRecord, error) {
	r, err := decode(b)
	if err == nil {
		r = utc(r)
		err = check(r, fleet)
	}
	if err != nil {
		return NodeRecord{}, fmt.Errorf("cannot read the node record of fleet %q: %w", fleet, err)
	}
	return r, nil
}

func decode(b []byte) (NodeRecord, error) {
	if len(b) > MaxRecordBytes {
		return NodeRecord{}, fmt.Errorf("%d bytes, at most %d are allowed", len(b), MaxRecordBytes)
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return NodeRecord{}, fmt.Errorf("not JSON: %w", err)
	}
	if head.Schema > RecordSchema {
		return NodeRecord{}, fmt.Errorf("schema %d, this version knows up to %d: %w", head.Schema, RecordSchema, ErrNewerSchema)
	}
	var r NodeRecord
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return NodeRecord{}, fmt.Errorf("not a record: %w", err)
	}
	return r, nil
}

// canonical is r with times in UTC and free text that fits.
func canonical(r NodeRecord) NodeRecord {
	r = utc(r)
	r.Try.Error = fitText(r.Try.Error, MaxErrorBytes)
	for i := range r.Halts {
		r.Halts[i].Reason = fitText(r.Halts[i].Reason, MaxReasonBytes)
	}
	return r
}

func utc(r NodeRecord) NodeRecord {
	r = r.Clone()
	r.StageAt, r.Try.At = r.StageAt.UTC(), r.Try.At.UTC()
	if r.Claim != nil {
		r.Claim.Expires = r.Claim.Expires.UTC()
	}
	for i := range r.Halts {
		r.Halts[i].At = r.Halts[i].At.UTC()
	}
	for i := range r.Facts {
		r.Facts[i].At, r.Facts[i].Until = r.Facts[i].At.UTC(), r.Facts[i].Until.UTC()
	}
	return r
}

// fitText drops what is not printable and what exceeds most bytes.
func fitText(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if !printable(c) {
			return -1
		}
		return c
	}, s)
	if len(s) <= most {
		return s
	}
	const mark = "…"
	return strings.ToValidUTF8(s[:most-len(mark)], "") + mark
}

func printable(c rune) bool { return c == '\n' || c != utf8.RuneError && unicode.IsPrint(c) }

// check refuses a record that breaks a bound or belongs to another fleet, and names the first thing that is wrong.
func check(r NodeRecord, fleet string) error {
	return cmp.Or(
		is(r.Schema >= 1 && r.Schema <= RecordSchema, "schema", r.Schema),
		is(r.Fleet == fleet && fleetPattern.MatchString(r.Fleet), "fleet", r.Fleet),
		matches(tokenPattern, "instance", r.Instance),
		checkClaim(r.Claim),
		is(slices.Contains(stages, r.Stage), "stage", r.Stage),
		checkTime("stageAt", r.StageAt),
		checkVersion("on", r.On),
		matches(tokenPattern, "prepared", r.Prepared),
		checkVersion("proven", r.Proven),
		checkVersion("previous", r.Previous),
		is(r.Repairs >= 0 && r.Repairs <= MaxRepairs, "repairs", r.Repairs),
		checkTry(r.Try),
		checkList("taken", r.Taken, MaxMemberships, checkMembership),
		checkList("places", r.Places, MaxMemberships, checkMembership),
		checkList("halts", r.Halts, MaxHalts, checkHalt),
		is(r.Schema >= 2 || len(r.Facts) == 0, "facts", r.Facts),
		is(r.Schema >= 3 || !slices.ContainsFunc(r.Facts, func(f Fact) bool { return f.Kind != Away }), "facts", r.Facts),
		checkList("facts", r.Facts, MaxFacts, checkFact),
		is(r.Schema >= 3 || r.On.Commit+r.Try.Version.Commit+r.Proven.Commit+r.Previous.Commit == "", "commit", r.Schema),
	)
}

func checkClaim(c *Claim) error {
	if c == nil {
		return nil
	}
	return cmp.Or(
		is(len(c.Holder) <= 256 && !strings.ContainsFunc(c.Holder, unprintable), "claim.holder", c.Holder),
		is(c.Epoch >= 0, "claim.epoch", c.Epoch),
		is(noncePattern.MatchString(c.Nonce), "claim.nonce", c.Nonce),
		is(!c.Expires.IsZero(), "claim.expires", c.Expires),
		checkTime("claim.expires", c.Expires),
	)
}

func checkVersion(where string, v Version) error {
	return cmp.Or(
		matches(releasePattern, where+".release", v.Release),
		matches(tokenPattern, where+".digest", v.Digest),
		is(v.Algorithm >= 0, where+".algorithm", v.Algorithm),
		matches(tokenPattern, where+".revision", v.Revision),
		matches(commitPattern, where+".commit", v.Commit),
	)
}

func checkTry(t Try) error {
	return cmp.Or(
		checkVersion("try.version", t.Version),
		is(jobPattern.MatchString(t.ID), "try.id", t.ID),
		is(t.Retry >= 0 && t.Retry <= MaxRetry, "try.retry", t.Retry),
		is(t.Failures >= 0, "try.failures", t.Failures),
		checkText("try.error", t.Error, MaxErrorBytes),
		checkTime("try.at", t.At),
		matches(tokenPattern, "try.earlier", t.Earlier),
	)
}

func checkMembership(m Membership) error {
	return cmp.Or(
		is(groupPattern.MatchString(m.Group), "membership.group", m.Group),
		is(tokenPattern.MatchString(m.ID), "membership.id", m.ID),
		is(m.Port >= 0 && m.Port <= 65535, "membership.port", m.Port),
		matches(tokenPattern, "membership.zone", m.Zone),
	)
}

func checkHalt(h Halt) error {
	return cmp.Or(
		is(tokenPattern.MatchString(h.Digest), "halt.digest", h.Digest),
		matches(releasePattern, "halt.release", h.Release),
		matches(tokenPattern, "halt.revision", h.Revision),
		is(h.Retry >= 0 && h.Retry <= MaxRetry, "halt.retry", h.Retry),
		matches(tokenPattern, "halt.node", h.Node),
		checkText("halt.reason", h.Reason, MaxReasonBytes),
		checkTime("halt.at", h.At),
	)
}

func checkFact(f Fact) error {
	return cmp.Or(
		checkFactKind(f),
		matches(tokenPattern, "fact.node", f.Node),
		matches(tokenPattern, "fact.instance", f.Instance),
		matches(releasePattern, "fact.release", f.Release),
		checkTime("fact.at", f.At),
		checkTime("fact.until", f.Until),
	)
}

// checkFactKind refuses a fact without what one of its kind is about.
func checkFactKind(f Fact) error {
	switch f.Kind {
	case Away:
		return cmp.Or(is(f.Node != "", "fact.node", f.Node), is(f.Instance != "", "fact.instance", f.Instance))
	case Whole:
		return cmp.Or(is(f.Release != "", "fact.release", f.Release), is(!f.At.IsZero(), "fact.at", f.At))
	}
	return is(false, "fact.kind", f.Kind)
}

func checkList[T any](where string, list []T, most int, check func(T) error) error {
	if len(list) > most {
		return fmt.Errorf("%s has %d entries, at most %d are allowed", where, len(list), most)
	}
	for _, item := range list {
		if err := check(item); err != nil {
			return err
		}
	}
	return nil
}

func checkText(where, s string, most int) error {
	return is(len(s) <= most && !strings.ContainsFunc(s, unprintable), where, s)
}

func checkTime(where string, t time.Time) error {
	return is(t.IsZero() || t.Year() >= 1970 && t.Year() < 3000, where, t)
}

// matches accepts the empty string.
func matches(p *regexp.Regexp, where, s string) error {
	return is(s == "" || p.MatchString(s), where, s)
}

func is(ok bool, where string, value any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s is not acceptable: %.80q", where, fmt.Sprint(value))
}

func unprintable(c rune) bool { return !printable(c) }
