package notify

import (
	"context"
	"time"

	"windlass/desired"
	"windlass/internal/outbound"
)

// A Channel says something at one place.
//
// Law: Say returns when the place has answered, ctx has ended, or a bound of its own has passed. Its error is a *Failure.
type Channel interface {
	Say(ctx context.Context, m Message) (place string, err error)
	Traits() Traits
}

// Traits are what a place can do.
type Traits struct {
	Service string        // for people and metrics: slack, googleChat …
	Updates bool          // a message can be changed later, and saying the same again changes nothing
	Threads bool          // messages can reply to the first of their rollout
	Known   bool          // a message that comes twice is seen to be the same, so it is rather sent twice than not at all
	Each    bool          // every occasion is told by itself, though another has followed it
	Every   time.Duration // at least, from one message to the next
}

// A Kind is how a message stands to those before it.
type Kind string

// The kinds of messages.
const (
	Post   Kind = "post"   // the first of a rollout, or one by itself
	Reply  Kind = "reply"  // to the first
	Update Kind = "update" // what the first says now
)

// A Message is something to say. All its text is one line each, without secrets and without characters that do not print; it is hostile all the same.
type Message struct {
	ID     string // of the message, the same however often it is tried
	Thread string // id of the rollout; empty: it belongs to none
	Kind   Kind
	Place  string // of the first message, as Say returned it
	At     time.Time
	Fleet  string
	On     desired.Occasion // empty: it is about progress, or about a rollout that another took the place of
	Mood   Mood
	Title  string
	Lines  []string
	Link   string // to the difference; empty: none is known
	Event  Event
}

// A Mood is how good the news is.
type Mood string

// The moods.
const (
	Busy Mood = "busy"
	Good Mood = "good"
	Held Mood = "held"
	Bad  Mood = "bad"
	Over Mood = "over"
)

// marks stand before a title, where colours cannot.
var marks = map[Mood]string{Busy: "🔵", Good: "🟢", Held: "🟡", Bad: "🔴", Over: "⚪"}

// A Failure is a message that was not said, or not surely. It is one line without secrets.
type Failure struct {
	Says    string
	Unsure  bool          // it may have been said
	Refused bool          // the place will refuse it again until somebody changes something
	Gone    bool          // the message that was to be changed or replied to is not there any more, or it is given up: it says nothing of the channel
	Wait    time.Duration // how long the place asks to be left alone
}

func (f *Failure) Error() string { return f.Says }

// unanswered is an attempt without an answer.
func unanswered(err error) *Failure {
	f := &Failure{Says: err.Error(), Unsure: true}
	if o, ok := err.(*outbound.Error); ok {
		f.Unsure = !o.Unsent
	}
	return f
}

// unread is a secret that cannot be read.
func unread(err error) *Failure { return &Failure{Says: err.Error(), Refused: true} }
