package source

import (
	"errors"
	"fmt"
	"time"
)

// A State is what is said of a release. The zero value is that nobody can tell, which lets nothing begin.
type State int

const (
	Unread State = iota // it cannot be told
	Open                // it is as the fleet demands
	Wait                // not yet: it may become so by itself
	Shut                // no: somebody has to do something
)

func (s State) String() string { return [...]string{"unread", "open", "wait", "shut"}[s] }

// A Verdict is what is said of a release, and why.
type Verdict struct {
	State  State
	Commit string    // that the tag names; empty: it is not known, or a person lets the release pass whatever it is
	Reason string    // one line, for people; what git, forges and signers said is hostile text
	Again  time.Time // when it is to be asked again, where something says so; zero: at the usual pace
}

// A hold is a Verdict that is not Open, on its way up.
type hold struct {
	state  State
	reason string
	again  time.Time
}

func (h *hold) Error() string { return h.reason }

func wait(format string, args ...any) error {
	return &hold{state: Wait, reason: fmt.Sprintf(format, args...)}
}
func shut(format string, args ...any) error {
	return &hold{state: Shut, reason: fmt.Sprintf(format, args...)}
}

// A Later is an error of one who wants to be left alone for a while.
type Later struct {
	Err  error
	Wait time.Duration
}

func (l *Later) Error() string { return l.Err.Error() }
func (l *Later) Unwrap() error { return l.Err }

// held is the verdict of an error: of whoever judged, or that nobody could.
func held(err error, now time.Time) Verdict {
	var h *hold
	if errors.As(err, &h) {
		return Verdict{State: h.state, Reason: h.reason, Again: h.again}
	}
	v := Verdict{Reason: err.Error()}
	var later *Later
	if errors.As(err, &later) && later.Wait > 0 {
		v.Again = now.Add(later.Wait)
	}
	return v
}

// short is a commit as people are told of it.
func short(commit string) string { return commit[:min(len(commit), 12)] }
