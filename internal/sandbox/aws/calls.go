package aws

import (
	"maps"
	"net/url"
	"slices"
	"time"
)

// Call is one request to the API.
type Call struct {
	At     time.Time // when it was answered
	Action string
	Form   url.Values
	Error  string // what it was refused with; empty: it succeeded
}

// kept is how many calls the journal holds.
const kept = 1000

type journal struct {
	counts map[string]int
	latest []Call
}

// Calls returns how often each action was called, refused calls included.
func (c *Cloud) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls.counts)
}

// Log returns the latest calls, at most a thousand, oldest first.
func (c *Cloud) Log() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls.latest)
}

func (c *Cloud) note(action string, form url.Values, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := Call{At: c.now(), Action: action, Form: form}
	if err != nil {
		call.Error = err.Error()
	}
	c.calls.counts[action]++
	c.calls.latest = append(c.calls.latest, call)
	if excess := len(c.calls.latest) - kept; excess > 0 {
		c.calls.latest = slices.Delete(c.calls.latest, 0, excess)
	}
}
