package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// The patience of people, and of places.
const (
	waitPatience = 2 * time.Minute  // a rollout waits for so long before that is told
	waitPause    = time.Hour        // from one word of waiting to the next, of one rollout
	smallPause   = 10 * time.Minute // from one thread about nodes that drifted or came to the next
	updatePause  = 3 * time.Second  // between changes of a first message, but at the end
	longAgo      = 24 * time.Hour   // an end that nobody was told the beginning of is no news any more
	mostPastOf   = 16               // rollouts before the newest, of one fleet, whose ends are remembered
	unsurePause  = 15 * time.Second // before what may have been said is said again, the first time; then it is four times as long each time
	mostUnsure   = 5                // times that a message is sent to a place that cannot tell repeats, and never says whether it has it
)

// A standing is how a fleet stands that a channel is to hear of.
type standing struct {
	fleet   web.Fleet
	on      []desired.Occasion
	since   time.Time // since when the channel is to hear of it; zero: now
	waiting time.Time // since when the newest rollout waits; zero: it does not
	verdict string    // why the newest rollout halted; empty: it did not, or that is not known
	past    []ended   // rollouts before the newest, the oldest first, as far as they are known
	held    time.Time // since when what is wanted waits for its rollout to begin; zero: it does not
	coming  web.Rollout
	gone    bool // the channel hears of it no more
	unheard bool // the agent does not know yet how the fleet stands
}

// An ended rollout is one before the newest.
type ended struct {
	rollout web.Rollout
	reason  string
}

// A view is all that a channel may be told of.
type view struct {
	known     bool // git has said which fleets there are
	standings []standing
}

// A step is something to say, and where to note that it was said.
type step struct {
	fleet   string
	id      string // of the rollout; empty: it is about a rejected file, or about one that cannot begin
	digest  string // of what is said
	message Message
	told    []desired.Occasion // that this tells
	closes  bool
	small   bool
	waited  bool
	held    bool // it tells of what cannot begin

	heldSince time.Time // since when it cannot
	opened    *thread   // that the first message was opened by what told so; nil: it was not

	progress  bool      // it tells how far a rollout is, and no more
	attempted time.Time // when it was tried last, or the message that it changes
	due       time.Time // it is not said before, unless it changes a message
}

// before reports whether a step is to be taken before another: how far one rollout is keeps nobody from hearing what became of another, and what
// was tried in vain lets others have their turn.
func (s *step) before(other *step) bool {
	if !s.attempted.Equal(other.attempted) {
		return s.attempted.Before(other.attempted)
	}
	return !s.progress && other.progress
}

// id names a rollout. Fleets' names have no @.
func id(fleet string, r web.Rollout) string {
	return fmt.Sprintf("%s@%d", fleet, r.Started.UnixMilli())
}

// next is what is to be said now, or when to look again; the zero time: when something changes. It is the one decision of this package. Books are
// changed only where nothing is to be said.
func next(v view, told books, t Traits, now time.Time) (*step, time.Time) {
	if !v.known {
		return nil, time.Time{}
	}
	var wake time.Time
	var first *step
	for _, s := range slices.Concat(v.standings, forget(v, told)) {
		if s.unheard {
			continue
		}
		b := told[s.fleet.Name]
		if b == nil {
			b = &book{Since: s.since}
			if b.Since.IsZero() {
				b.Since = now
			}
			told[s.fleet.Name] = b
		}
		for _, at := range []*time.Time{&b.Since, &b.Small} {
			if at.After(now) { // the clock was set back: what ends from now on is news
				*at = now
			}
		}
		if b.Threads == nil {
			b.Threads = map[string]*thread{}
		}
		d := decision{standing: s, book: b, traits: t, now: now}
		for _, step := range d.steps() {
			if first == nil || step.before(first) {
				first = step
			}
		}
		wake = sooner(wake, d.wake)
	}
	if first != nil {
		return first, time.Time{}
	}
	return nil, wake
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// forget drops what was told of fleets that the channel hears of no more, and returns those whose threads have no end yet.
func forget(v view, told books) (open []standing) {
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if slices.ContainsFunc(v.standings, func(s standing) bool { return s.fleet.Name == name }) {
			continue
		}
		if slices.ContainsFunc(slices.Collect(maps.Values(told[name].Threads)), func(t *thread) bool { return t.Posted && !t.Closed }) {
			open = append(open, standing{fleet: web.Fleet{Name: name}, on: []desired.Occasion{desired.OnStarted}, gone: true})
			continue
		}
		delete(told, name)
	}
	return open
}

// A decision is what to say of one fleet.
type decision struct {
	standing
	book   *book
	traits Traits
	now    time.Time
	wake   time.Time
}

func (d *decision) hears(on desired.Occasion) bool { return slices.Contains(d.on, on) }

// steps are what to say of the fleet: ends of earlier rollouts, then the newest, then its file.
func (d *decision) steps() (all []*step) {
	add := func(s *step) {
		switch {
		case s == nil:
		case s.message.Kind != Update && d.now.Before(s.due):
			d.wake = sooner(d.wake, s.due)
		default:
			all = append(all, s)
		}
	}
	newest := d.fleet.Rollout
	known := []string{id(d.fleet.Name, newest)}
	for _, p := range d.past {
		known = append(known, id(d.fleet.Name, p.rollout))
		add(d.of(p.rollout, p.reason, false))
	}
	for _, r := range d.lost(known) {
		add(d.of(r, "", false))
	}
	if !newest.Started.IsZero() {
		reason := d.fleet.Reason
		if newest.Result == reconciler.ResultHalted && d.fleet.Phase != plan.PhaseHalted {
			reason = d.verdict
		}
		add(d.of(newest, reason, true))
	}
	add(d.comes())
	add(d.rejected())
	return all
}

// lost are rollouts that nobody knows any more, and whose threads have no end: the agent was killed, and another rollout began before it was seen how
// they ended, many others have ended since, or the channel hears of the fleet no more.
func (d *decision) lost(known []string) (all []web.Rollout) {
	for _, id := range sortedThreads(d.book.Threads) {
		t := d.book.Threads[id]
		if t.Closed || !t.Posted || slices.Contains(known, id) {
			continue
		}
		if d.gone {
			all = append(all, web.Rollout{Started: t.Started, Ended: d.now, Result: reconciler.ResultSuperseded})
			continue
		}
		if d.fleet.Rollout.Started.IsZero() || !t.Started.Before(d.fleet.Rollout.Started) {
			continue // it may come to be known again
		}
		all = append(all, web.Rollout{Started: t.Started, Ended: d.fleet.Rollout.Started, Result: reconciler.ResultSuperseded})
	}
	return all
}

func sortedThreads(threads map[string]*thread) []string {
	ids := make([]string, 0, len(threads))
	for id := range threads {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(threads[a].Started.Compare(threads[b].Started), cmp.Compare(a, b))
	})
	return ids
}

// occasions are how the end of a rollout is called, where it is one that can be heard of.
var occasions = map[reconciler.Result]desired.Occasion{
	reconciler.ResultSucceeded: desired.OnSucceeded, reconciler.ResultRolledBack: desired.OnRolledBack, reconciler.ResultHalted: desired.OnHalted,
}

// due are the occasions of a rollout that the channel is to hear of, the latest last.
func (d *decision) due(r web.Rollout, t *thread, newest bool) []desired.Occasion {
	var due []desired.Occasion
	if d.hears(desired.OnStarted) && !t.told(desired.OnStarted) {
		due = append(due, desired.OnStarted)
	}
	if on := occasions[r.Result]; on != "" && d.hears(on) && !t.told(on) {
		return append(due, on)
	}
	if newest && r.Ended.IsZero() && d.hears(desired.OnWaiting) && d.waitedEnough(t) {
		due = append(due, desired.OnWaiting)
	}
	return due
}

// waitedEnough reports whether the newest rollout has waited for so long that people want to know.
func (d *decision) waitedEnough(t *thread) bool {
	if d.waiting.IsZero() || t.Waited.After(d.waiting) {
		return false
	}
	at := d.waiting.Add(waitPatience)
	if !t.Waited.IsZero() && at.Before(t.Waited.Add(waitPause)) {
		at = t.Waited.Add(waitPause)
	}
	if d.now.Before(at) {
		d.wake = sooner(d.wake, at)
		return false
	}
	return true
}

// of is the next thing to say of a rollout.
func (d *decision) of(r web.Rollout, reason string, newest bool) *step {
	id := id(d.fleet.Name, r)
	t := d.book.Threads[id]
	if t == nil {
		if !r.Ended.IsZero() && (r.Ended.Before(d.book.Since) || d.now.Sub(r.Ended) > longAgo) {
			return nil // no news
		}
		t = &thread{Started: r.Started}
		if newest && d.opens(r) {
			t.Posted, t.Place, t.Held = true, d.book.Hold.Place, d.book.Hold
		}
	}
	if t.Closed {
		return nil
	}
	s := &step{fleet: d.fleet.Name, id: id, closes: !r.Ended.IsZero(), attempted: t.tried, due: t.tries.due, opened: t}
	due := d.due(r, t, newest)
	s.message = d.head(r, reason, newest)
	s.digest = digest(s.message)
	if !t.Posted {
		return d.begin(s, t, r, due)
	}
	return d.goOn(s, t, r, reason, due)
}

// opens reports whether the message that a rollout could not begin is the first one of it: it has begun.
func (d *decision) opens(r web.Rollout) bool {
	b, wanted := d.book, d.fleet.Desired
	return d.traits.Threads && d.hears(desired.OnStarted) && b.Hold.Place != "" && wanted.Digest != "" && holdOf(b.Held) == wanted.Digest &&
		r.Release == wanted.Release && r.Ended.IsZero() && !small(r) && !r.Started.Before(b.Hold.Since) &&
		!slices.ContainsFunc(slices.Collect(maps.Values(b.Threads)), func(t *thread) bool { return t.Place == b.Hold.Place })
}

// begin posts the first message of a rollout, when there is something to hear of it.
func (d *decision) begin(s *step, t *thread, r web.Rollout, due []desired.Occasion) *step {
	if len(due) == 0 {
		if s.closes {
			d.book.Threads[s.id] = &thread{Started: r.Started, Closed: true}
			d.book.trim()
		}
		return nil
	}
	on := due[len(due)-1]
	if t.Unsure != "" && !d.traits.Known && t.Unsure == string(on) && !s.closes {
		return nil // it may be there; the next occasion tells
	}
	if s.small = small(r) && !d.traits.Each; s.small {
		if at := d.book.Small.Add(smallPause); d.now.Before(at) && r.Result != reconciler.ResultHalted {
			if s.closes {
				d.book.Threads[s.id] = &thread{Started: r.Started, Closed: true} // one of many
				d.book.trim()
				return nil
			}
			d.wake = sooner(d.wake, at)
			return nil
		}
	}
	if d.traits.Each && due[0] == desired.OnStarted {
		on, due, s.closes = due[0], due[:1], false
	}
	s.told, s.waited = due, on == desired.OnWaiting
	s.message.Kind, s.message.On, s.message.ID = Post, on, messageID(s.id, on, t)
	s.message.Event = eventOf(s.message, d.fleet, r)
	return s
}

// small reports whether nobody wanted the rollout: nodes drifted, or came.
func small(r web.Rollout) bool {
	return r.Trigger == reconciler.TriggerDrift || r.Trigger == reconciler.TriggerMembership
}

// goOn says what has happened since the first message.
func (d *decision) goOn(s *step, t *thread, r web.Rollout, reason string, due []desired.Occasion) *step {
	stale := d.traits.Updates && !t.Gone && t.Says != s.digest
	s.message.Place = t.Place
	update := func() *step {
		s.message.Kind, s.message.ID = Update, s.id+"/"+s.digest
		s.told, s.closes = nil, s.closes && (len(due) == 0 || !d.traits.Threads)
		if s.closes {
			s.told = due
		}
		return s
	}
	due = slices.DeleteFunc(due, func(on desired.Occasion) bool { return on == desired.OnStarted && t.Held.Since.IsZero() }) // the first message has told
	switch {
	case s.closes && stale:
		return update()
	case len(due) > 0:
		on := due[len(due)-1]
		s.told, s.waited = due, on == desired.OnWaiting
		s.message.On, s.message.ID = on, messageID(s.id, on, t)
		d.follows(s, t, r, reason)
		if d.traits.Updates && t.Unsure == s.message.ID { // it may be there, and the first message says it as well
			t.Told, t.Unsure, t.Closed, t.tries = append(t.Told, due...), "", s.closes, tries{}
			if s.waited {
				t.Waited = d.now
			}
			return nil
		}
		return s
	case s.closes && r.Result == reconciler.ResultSuperseded && !d.traits.Updates && d.hears(desired.OnStarted):
		s.message.ID = s.id + "/superseded"
		d.follows(s, t, r, reason)
		return s
	case s.closes:
		t.Closed = true
		return nil
	case stale:
		if at := t.updated.Add(updatePause); d.now.Before(at) {
			d.wake = sooner(d.wake, at)
			return nil
		}
		s.progress = true
		if t.updated.After(s.attempted) {
			s.attempted = t.updated
		}
		return update()
	}
	return nil
}

// follows makes the step one that comes after the first message: a reply to it, or one by itself.
func (d *decision) follows(s *step, t *thread, r web.Rollout, reason string) {
	s.message.Kind = Post
	if d.traits.Threads {
		s.message.Kind = Reply
		s.message.Title, s.message.Lines = d.brief(t, r, reason, s.message.On)
	}
	s.message.Event = eventOf(s.message, d.fleet, r)
}

// messageID names a message for good: of waiting there may be several.
func messageID(rollout string, on desired.Occasion, t *thread) string {
	if on == desired.OnWaiting && !t.Waited.IsZero() {
		return fmt.Sprintf("%s/%s-%d", rollout, on, t.Waited.Unix())
	}
	return rollout + "/" + string(on)
}

// rejected tells of a file that is not in force, once for all that is wrong with it.
func (d *decision) rejected() *step {
	r := d.fleet.Rejected
	if r == nil {
		d.book.Rejected = ""
		return nil
	}
	if !d.hears(desired.OnRejected) {
		return nil
	}
	m := rejection(d.fleet)
	m.At = d.now
	if sum := digest(m); sum != d.book.Rejected {
		m.Lines = append(m.Lines, fmt.Sprintf("as of commit %.12s", r.Revision))
		m.ID = fmt.Sprintf("%s/rejected/%s/%s", d.fleet.Name, r.Revision, sum)
		m.Event = eventOf(m, d.fleet, web.Rollout{})
		return &step{fleet: d.fleet.Name, digest: sum, message: m, attempted: d.book.tried, due: d.book.tries.due}
	}
	return nil
}

// comes tells of a commit that nothing may begin with, once for what it wants: after a while, or at once where somebody has to do something; that is
// told once more where it comes to it later.
func (d *decision) comes() *step {
	sum, patience := d.fleet.Desired.Digest, waitPatience
	if slices.ContainsFunc(d.fleet.Gates, func(g web.Gate) bool { return g.State == plan.GateShut.String() }) {
		sum, patience = sum+shut, 0
	}
	if d.held.IsZero() || !d.hears(desired.OnWaiting) || d.book.Held == sum || d.book.Held == sum+shut {
		return nil
	}
	if at := d.held.Add(patience); d.now.Before(at) {
		d.wake = sooner(d.wake, at)
		return nil
	}
	m := Message{
		ID: fmt.Sprintf("%s/waiting/%s", d.fleet.Name, sum), Kind: Post, At: d.now, Fleet: d.fleet.Name, On: desired.OnWaiting, Mood: Held,
		Title: fmt.Sprintf("%s: %s has not begun, waits since %s UTC", d.fleet.Name, d.coming.Release, d.held.UTC().Format("15:04")),
		Lines: []string{cut(d.fleet.Reason)}, Link: safeLink(d.fleet.Desired.Link),
	}
	if by := d.by(d.coming); by != "" {
		m.Lines = append(m.Lines, by)
	}
	if b := d.book; d.traits.Threads && b.Hold.Place != "" && b.Held+shut == sum {
		m.Kind, m.Place = Reply, b.Hold.Place
	}
	m.Event = eventOf(m, d.fleet, web.Rollout{})
	return &step{fleet: d.fleet.Name, digest: sum, message: m, held: true, heldSince: d.held, attempted: d.book.tried, due: d.book.tries.due}
}

// shut is added to the digest of what cannot begin where somebody has to do something about it.
const shut = "/shut"

// holdOf is the digest of what cannot begin.
func holdOf(held string) string { return strings.TrimSuffix(held, shut) }

func startOf(id string) time.Time {
	_, at, _ := strings.Cut(id, "@")
	ms, _ := strconv.ParseInt(at, 10, 64) // of what id has made
	return time.UnixMilli(ms).UTC()
}

// holds reports whether a fleet waits with what was committed before its rollout has begun.
func holds(s reconciler.Status) bool {
	r := s.Rollout
	return s.Phase == plan.PhaseWaiting && s.Expected.Nodes > 0 && s.Desired.Digest != r.Digest && (r.Started.IsZero() || !r.Ended.IsZero())
}

// waits reports whether a fleet's newest rollout goes on and waits.
func waits(f web.Fleet) bool {
	return f.Phase == plan.PhaseWaiting && !f.Rollout.Started.IsZero() && f.Rollout.Ended.IsZero()
}
