package aws

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// Faults is how the API misbehaves. Actions are named like "ec2:DescribeInstances", "elbv2:RegisterTargets" and
// "elb:DescribeInstanceHealth". The zero Faults is an API without fault.
type Faults struct {
	Latency  time.Duration   // before each answer
	ReadLag  time.Duration   // how far reads lag behind writes; at most a minute
	PageSize int             // the most that a page holds whatever the caller asks for; 0: what AWS allows
	Throttle map[string]Rate // by action, or by "*" for the others; each action has a bucket of its own
	Denied   []string        // patterns of actions, as path.Match has them: "elbv2:*"

	// Before sees each call that was neither denied nor throttled and may refuse it; After sees each that succeeded, and
	// may make its caller believe that it did not. An *Error is answered as it is; for any other error the connection is
	// cut without an answer.
	Before, After func(action string, form url.Values) error
}

// Rate is a token bucket: a burst, refilled so many times a second.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Error is an answer that refuses a call, in the words and with the status of the API.
type Error struct {
	Code    string
	Message string
	Status  int // default 400
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// refusal is an Error of status 400.
func refusal(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// Adjust changes the faults from the next call on.
func (c *Cloud) Adjust(change func(*Faults)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.faults)
}

// admit delays a call, refuses it or lets it pass. It returns the faults that hold for the rest of the call.
func (c *Cloud) admit(ctx context.Context, action string) (Faults, error) {
	c.mu.Lock()
	faults := c.faults
	err := c.refuse(action)
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return faults, ctx.Err()
	case <-time.After(faults.Latency):
		return faults, err
	}
}

// refuse returns the error of a denied or throttled call. The mutex is held.
func (c *Cloud) refuse(action string) error {
	ec2 := strings.HasPrefix(action, "ec2:")
	for _, pattern := range c.faults.Denied {
		if denied, _ := path.Match(pattern, action); denied {
			return denial(action, ec2)
		}
	}
	rate, limited := c.faults.Throttle[action]
	if !limited {
		rate, limited = c.faults.Throttle["*"]
	}
	if !limited || c.bucket(action).take(rate, c.now()) {
		return nil
	}
	if ec2 {
		return &Error{"RequestLimitExceeded", "Request limit exceeded.", http.StatusServiceUnavailable}
	}
	return refusal("Throttling", "Rate exceeded")
}

func denial(action string, ec2 bool) error {
	if ec2 {
		return &Error{"UnauthorizedOperation", "You are not authorized to perform this operation.", http.StatusForbidden}
	}
	_, name, _ := strings.Cut(action, ":")
	return &Error{"AccessDenied", "User: arn:aws:iam::" + account + ":user/sandbox is not authorized to perform: elasticloadbalancing:" + name, http.StatusForbidden}
}

func (c *Cloud) bucket(action string) *bucket {
	b := c.buckets[action]
	if b == nil {
		b = &bucket{}
		c.buckets[action] = b
	}
	return b
}

// bucket counts the tokens that were taken and have not been refilled. The zero bucket is full.
type bucket struct {
	missing float64
	since   time.Time
}

func (b *bucket) take(rate Rate, now time.Time) bool {
	b.missing = max(0, b.missing-now.Sub(b.since).Seconds()*rate.PerSecond)
	b.since = now
	if b.missing+1 > float64(rate.Burst) {
		return false
	}
	b.missing++
	return true
}
