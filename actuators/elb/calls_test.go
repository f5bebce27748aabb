package elb

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
)

// These see what from outside only a rare order of two goroutines, or memory that grows, would show.

var ofWeb = kind{"register", ref{name: "web"}}

// waiter is a change that nobody awaits.
func waiter(ctx context.Context) *change {
	return &change{ctx: ctx, news: make(chan struct{}, 1)}
}

func TestWhoGivesUpAsTheCallBeginsTakesNoPartInIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, quits, stays := newChanges(), waiter(ctx), waiter(t.Context())
	b := c.join(ofWeb, quits)
	if c.join(ofWeb, stays) != b {
		t.Fatal("two of a kind do not wait together")
	}
	cancel()
	if together := c.take(b); len(together) != 1 || together[0] != stays {
		t.Errorf("%d take part in the call, want the one who stays", len(together))
	}
	if quits.in != nil || !errors.Is(quits.err, context.Canceled) || len(quits.news) != 1 {
		t.Errorf("who gave up is told %v", quits.err)
	}
}

// The timer that began the call may be another's, a moment before one's own.
func TestWhoGivesUpOnceTheCallBeganWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, mine := newChanges(), waiter(ctx)
		mine.deadline = time.Now().Add(time.Minute)
		c.tokens.AllowN(time.Now(), changeBurst)
		b := c.join(ofWeb, mine)
		c.take(b)
		cancel()
		over := false
		go func() {
			c.await(b, mine, nil)
			over = true
		}()
		synctest.Wait()
		if over {
			t.Error("the call is under way and is not awaited")
		}
		mine.end(nil)
		synctest.Wait()
		if !over || mine.err != nil {
			t.Errorf("the call has ended: %t, %v", over, mine.err)
		}
	})
}

func TestNewsThatNobodyHasHeardYetHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(*testing.T) { // which fails when all are held up
		mine := waiter(t.Context())
		mine.tell()
		mine.tell()
	})
}

func TestNothingIsKeptOfACallThatIsOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := newChanges()
	var called context.Context
	err := c.apply(ctx, ofWeb, actuators.Membership{}, func(ctx context.Context, _ ref, _ []actuators.Membership) error {
		called = ctx
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if called.Err() == nil {
		t.Error("the call is over and its context is not")
	}
	if len(c.open) != 0 {
		t.Errorf("batches of %v are kept for ever", c.open)
	}
}

func TestALoadBalancerIsForgottenWithTheLastOfItsGroups(t *testing.T) {
	d, one, two := newDirectory(), ref{name: "arn:one"}, ref{name: "arn:two"}
	known := func(r ref, balancers ...string) func() {
		return func() { d.put(r, facts{Group: r.identity(), balancers: balancers}) }
	}
	for i, step := range []struct {
		found func()
		left  int
	}{
		{known(one, "shared", "own"), 2},
		{known(two, "shared"), 2},
		{known(one, "shared"), 1},
		{func() { d.forget(one) }, 1},
		{func() { d.forget(two) }, 0},
	} {
		d.looking[one] = make(chan struct{})
		step.found()
		d.done([]ref{one})
		d.dueBalancers([]ref{one, two})
		if len(d.balancers) != step.left {
			t.Errorf("step %d: %d load balancers are kept, want %d", i, len(d.balancers), step.left)
		}
	}
}

func TestALoadBalancerIsNamedAsPeopleKnowIt(t *testing.T) {
	for id, want := range map[string]string{
		"arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/web/0123456789abcdef": "web",
		"arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/web/0123456789abcdef": "web",
		"classic/old": "old",
		"strange":     "strange",
		"":            "",
	} {
		if got := nameOf(id); got != want {
			t.Errorf("%q is named %q, want %q", id, got, want)
		}
	}
}
