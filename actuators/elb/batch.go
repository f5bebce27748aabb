package elb

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

const (
	changeRate  = 4 // calls a second that change something, in all groups together (G9)
	changeBurst = 20

	// mostTogether is how many targets a call names. AWS documents no limit; its own controllers send 100 or 200.
	mostTogether = 100
	// mostApart is how far the deadlines of those who share a call lie apart: it ends by the earliest of them.
	mostApart = 3 * time.Second
	// leastTime is what a caller who had to wait must have left for the call, which would end too early for all.
	leastTime = time.Second
)

// changes are the calls that change groups, held to a rate. Whoever waits for the next one waits together with all who want the
// same of the same group, and whoever of them wakes first makes one call for them all.
//
// A call refused for one target of several does nothing for the others: it is made again for each half of them, until every
// refusal stands alone, so that each caller learns its own truth and one bad target costs the others little.
type changes struct {
	tokens *rate.Limiter

	mu   sync.Mutex
	open map[kind][]*batch // those that can be joined, in the order of their tokens
}

// A kind is what changes have in common that share a call.
type kind struct {
	verb  string
	group ref
}

// A send is one call that makes a change to all these members.
type send func(ctx context.Context, group ref, members []actuators.Membership) error

// A batch is changes that wait for the same call.
type batch struct {
	kind
	token   *rate.Reservation
	due     time.Time
	waiting []*change // guarded by changes.mu; none once the call began
}

// A change is what one caller waits for.
type change struct {
	ctx      context.Context
	deadline time.Time
	member   actuators.Membership

	news chan struct{} // capacity 1: what follows has changed
	in   *batch        // guarded by changes.mu; nil: it is over
	err  error         // how it ended
}

func newChanges() *changes {
	return &changes{tokens: rate.NewLimiter(changeRate, changeBurst), open: map[kind][]*batch{}}
}

// apply makes a change, perhaps in a call with others, by the deadline of ctx, which must have one. Once it returns nothing of it
// waits or is under way here: who gives up before the call began takes no part in it, and who gives up later waits for its end,
// which comes by the earliest deadline of those who share it and sendTime after it began.
func (c *changes) apply(ctx context.Context, k kind, m actuators.Membership, call send) error {
	if ctx.Err() != nil {
		return tooMany(ctx.Err())
	}
	deadline, _ := ctx.Deadline()
	mine := &change{ctx: ctx, deadline: deadline, member: m, news: make(chan struct{}, 1)}
	for b := c.join(k, mine); b != nil; b = c.batchOf(mine) {
		c.await(b, mine, call)
	}
	return mine.err
}

// await returns when the batch's call has ended, whoever made it, or when it is not made in time.
func (c *changes) await(b *batch, mine *change, call send) {
	switch wait := time.Until(b.due); {
	case wait <= 0:
		c.carry(b, call)
	case b.due.Add(leastTime).After(mine.deadline):
		c.withdraw(b, mine, context.DeadlineExceeded)
	default:
		select {
		case <-mine.news:
			return
		case <-time.After(wait):
			c.carry(b, call)
		case <-mine.ctx.Done():
			c.withdraw(b, mine, mine.ctx.Err())
		}
	}
	<-mine.news
}

func tooMany(why error) error {
	return fmt.Errorf("too many changes are waiting, at most %d a second are sent: %w", changeRate, why)
}

// join lets a change wait with its like, if their deadlines allow for a common call.
func (c *changes) join(k kind, mine *change) *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.open[k], func(b *batch) bool { return b.admits(mine) }); i >= 0 {
		c.open[k][i].add(mine)
	} else {
		c.open[k] = append(c.open[k], c.begin(k, mine))
	}
	return mine.in
}

func (b *batch) admits(mine *change) bool {
	return len(b.waiting) < mostTogether && !slices.ContainsFunc(b.waiting, func(other *change) bool {
		return other.deadline.Sub(mine.deadline).Abs() > mostApart
	})
}

// begin takes the next token for a batch of its own. The mutex is held.
func (c *changes) begin(k kind, waiting ...*change) *batch {
	token, now := c.tokens.Reserve(), time.Now()
	b := &batch{kind: k, token: token, due: now.Add(token.DelayFrom(now))}
	b.add(waiting...)
	return b
}

// add has changes wait in a batch. The mutex is held.
func (b *batch) add(waiting ...*change) {
	b.waiting = append(b.waiting, waiting...)
	for _, each := range waiting {
		each.in = b
	}
}

// end tells a caller how its change ended. The mutex is held.
func (each *change) end(err error) {
	each.in, each.err = nil, err
	each.tell()
}

func (each *change) tell() {
	select {
	case each.news <- struct{}{}:
	default: // there is news already
	}
}

func (c *changes) batchOf(mine *change) *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return mine.in
}

// withdraw ends a change that still waits in a batch. The last one gives the token back.
func (c *changes) withdraw(b *batch, mine *change, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(b.waiting, mine)
	if i < 0 {
		return
	}
	mine.end(tooMany(why))
	b.waiting = slices.Delete(b.waiting, i, i+1)
	if len(b.waiting) == 0 {
		b.token.Cancel()
		c.shut(b)
	}
}

// shut lets nobody join a batch any more. The mutex is held.
func (c *changes) shut(b *batch) {
	c.open[b.kind] = slices.DeleteFunc(c.open[b.kind], func(other *batch) bool { return other == b })
	if len(c.open[b.kind]) == 0 {
		delete(c.open, b.kind)
	}
}

// carry makes the call of a batch whose time has come, unless somebody else does.
func (c *changes) carry(b *batch, call send) {
	together := c.take(b)
	if len(together) == 0 {
		return
	}
	ctx, end := common(together)
	err := call(ctx, b.group, membersOf(together))
	end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(together) > 1 && refusesOne(err) {
		c.halve(b.kind, together)
		return
	}
	for _, each := range together {
		each.end(err)
	}
}

// take ends the waiting of a batch and returns who takes part in its call: those who have not given up.
func (c *changes) take(b *batch) (together []*change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut(b)
	for _, each := range b.waiting {
		if err := each.ctx.Err(); err != nil {
			each.end(tooMany(err))
		} else {
			together = append(together, each)
		}
	}
	b.waiting = nil
	return together
}

// halve lets both halves of a refused batch wait again, each for a call of its own. The mutex is held.
func (c *changes) halve(k kind, refused []*change) {
	half := len(refused) / 2
	c.begin(k, refused[:half]...)
	c.begin(k, refused[half:]...)
	for _, each := range refused {
		each.tell()
	}
}

// common returns the context of a call for several. It ends by the earliest of their deadlines, so that the call outlives nobody's
// claim (law 18), sendTime from now, and when all of them were cancelled, but not when one was.
func common(together []*change) (ctx context.Context, end func()) {
	first := slices.MinFunc(together, func(a, b *change) int { return a.deadline.Compare(b.deadline) })
	left := min(time.Until(first.deadline), sendTime)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(first.ctx), left)
	var wanted atomic.Int64
	wanted.Store(int64(len(together)))
	for _, each := range together {
		context.AfterFunc(each.ctx, func() { // each ends soon after its change
			if each.ctx.Err() == context.Canceled && wanted.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, cancel
}

// membersOf are the members to be changed, sorted, each once.
func membersOf(together []*change) []actuators.Membership {
	members := make([]actuators.Membership, len(together))
	for i, each := range together {
		members[i] = each.member
	}
	slices.SortFunc(members, actuators.Membership.Compare)
	return slices.Compact(members)
}

// refusesOne reports whether a call for several may have failed for what it asks of one of them. What AWS says of the group, the
// caller, the rate or its own trouble holds for all.
func refusesOne(err error) bool {
	switch awsapi.Code(err) {
	case "TargetGroupNotFound", "LoadBalancerNotFound":
		return false
	}
	return awsapi.Refused(err)
}
