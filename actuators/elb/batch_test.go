package elb_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
)

// A desk takes changes of target groups and Classic ELBs as AWS does: all of a call, or nothing of it.
type desk struct {
	latency time.Duration
	refuse  func(action string, targets []string) string // a code, a colon and a message; "": not refused

	mu      sync.Mutex
	calls   []deskCall
	members map[string]bool
}

// A deskCall is one that came in, refused or not.
type deskCall struct {
	action  string
	group   string
	targets []string // id:port@zone; the id alone for Classic
	began   time.Time
	took    time.Duration
}

func newDesk() (*desk, *elb.Balancer) {
	d := &desk{latency: 50 * time.Millisecond, members: map[string]bool{}}
	return d, elb.New(awsapi.Prepare(awsapitest.Answered(d), nil))
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	call := deskCall{began: time.Now(), action: r.Form.Get("Action"), group: r.Form.Get("TargetGroupArn") + r.Form.Get("LoadBalancerName"), targets: targetsIn(r.Form)}
	select {
	case <-time.After(d.latency):
	case <-r.Context().Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	call.took = time.Since(call.began)
	d.calls = append(d.calls, call)
	if r.Context().Err() != nil {
		return
	}
	if d.refuse != nil {
		if code, message, _ := strings.Cut(d.refuse(call.action, call.targets), ":"); code != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
			return
		}
	}
	for _, t := range call.targets {
		d.members[t] = strings.HasPrefix(call.action, "Register")
	}
	fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult/></%[1]sResponse>", call.action)
}

func targetsIn(form url.Values) (targets []string) {
	for n := 1; ; n++ {
		prefix := fmt.Sprintf("Targets.member.%d.", n)
		id, instance := form.Get(prefix+"Id"), form.Get(fmt.Sprintf("Instances.member.%d.InstanceId", n))
		switch {
		case id != "":
			targets = append(targets, strings.TrimSuffix(id+":"+form.Get(prefix+"Port")+"@"+form.Get(prefix+"AvailabilityZone"), "@"))
		case instance != "":
			targets = append(targets, instance)
		default:
			return targets
		}
	}
}

// made is the calls that came in after so many.
func (d *desk) made(since int) []deskCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls[since:])
}

// busy uses the tokens up that are there at once, so that whoever comes now has to wait. It returns how many calls that took.
func (d *desk) busy(t *testing.T, b *elb.Balancer) int {
	t.Helper()
	latency, refuse := d.latency, d.refuse
	d.latency, d.refuse = 0, nil
	defer func() { d.latency, d.refuse = latency, refuse }()
	for range 20 {
		if err := b.Register(t.Context(), actuators.Membership{Group: "classic/other", ID: "i-other"}); err != nil {
			t.Fatal(err)
		}
	}
	return 20
}

var ofClassic = actuators.Membership{Group: "classic/old", ID: "i-1"}

func member(i int) actuators.Membership {
	return actuators.Membership{Group: arnWeb, ID: fmt.Sprintf("10.0.0.%d", i), Port: 8080}
}

// all makes a change of members 0 to n-1 side by side and returns what each came to.
func all(n int, change func(i int) error) []error {
	errs := make([]error, n)
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() { errs[i] = change(i) })
	}
	callers.Wait()
	return errs
}

func TestChangesThatWaitShareACall(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before, began := d.busy(t, b), time.Now()
		for i, err := range all(99, func(i int) error { return b.Deregister(t.Context(), member(i)) }) {
			if err != nil {
				t.Errorf("%s: %v", member(i), err)
			}
		}
		calls := d.made(before)
		if len(calls) != 1 || len(calls[0].targets) != 99 {
			t.Errorf("99 that waited took %d calls, want 1 with all", len(calls))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("99 changes took %v", took)
		}
	})
}

func TestACallSaysOfEachTargetWhatItsCallerSaid(t *testing.T) { // G4, law 17
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		asked := []actuators.Membership{
			{Group: arnWeb, ID: "10.0.0.1", Port: 8080},
			{Group: arnWeb, ID: "10.0.0.1", Port: 9090},
			{Group: arnWeb, ID: "10.0.0.2", Port: 8080, Zone: "all"},
			{Group: arnWeb, ID: "10.0.0.3", Port: 8080, Zone: "eu-central-1c"},
			{Group: arnWeb, ID: "10.0.0.1", Port: 8080}, // by two callers, as when a prune and a fleet meet
		}
		var callers sync.WaitGroup
		for _, i := range []int{3, 0, 2, 1, 4} { // one after another, in no order
			callers.Go(func() {
				if err := b.Register(t.Context(), asked[i]); err != nil {
					t.Errorf("%s: %v", asked[i], err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		want := []string{"10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.2:8080@all", "10.0.0.3:8080@eu-central-1c"}
		if calls := d.made(before); len(calls) != 1 || !slices.Equal(calls[0].targets, want) {
			t.Errorf("sent %v, want one call of %v", calls, want)
		}
	})
}

func TestOnlyTheSameChangeOfTheSameGroupSharesACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		another := strings.Replace(arnWeb, "/web/", "/admin/", 1)
		changes := []func(i int) error{
			func(i int) error { return b.Register(t.Context(), member(i)) },
			func(i int) error { return b.Deregister(t.Context(), member(i)) },
			func(i int) error {
				return b.Register(t.Context(), actuators.Membership{Group: another, ID: "10.0.0.1", Port: i + 1})
			},
			func(i int) error {
				return b.Register(t.Context(), actuators.Membership{Group: "classic/old", ID: fmt.Sprint("i-", i)})
			},
		}
		for i, err := range all(40, func(i int) error { return changes[i%4](i) }) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		got := map[string]int{}
		for _, call := range d.made(before) {
			got[call.action+" "+call.group] += len(call.targets)
		}
		want := map[string]int{"RegisterTargets " + arnWeb: 10, "DeregisterTargets " + arnWeb: 10, "RegisterTargets " + another: 10, "RegisterInstancesWithLoadBalancer old": 10}
		if !maps.Equal(got, want) || len(d.made(before)) != 4 {
			t.Errorf("sent %v in %d calls, want %v in one each", got, len(d.made(before)), want)
		}
	})
}

func TestACallNamesNoMoreTargetsThanAWSsOwnControllersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		for _, err := range all(250, func(i int) error { return b.Register(t.Context(), member(i)) }) {
			if err != nil {
				t.Error(err)
			}
		}
		var sizes []int
		for _, call := range d.made(before) {
			sizes = append(sizes, len(call.targets))
		}
		if !slices.Equal(sizes, []int{100, 100, 50}) {
			t.Errorf("250 targets went in calls of %v", sizes)
		}
	})
}

// One that AWS refuses fails the call of all; the others are sent again, and it alone learns of it.
func TestOneBadTargetHarmsNoOther(t *testing.T) {
	for _, kind := range []struct {
		name, code string
		member     func(i int) actuators.Membership
	}{
		{"target group", "InvalidTarget", member},
		{"Classic ELB", "InvalidInstance", func(i int) actuators.Membership {
			return actuators.Membership{Group: "classic/old", ID: fmt.Sprint("i-", i)}
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, b := newDesk()
				before, began := d.busy(t, b), time.Now()
				const bad = 41
				d.refuse = func(_ string, targets []string) string {
					if slices.ContainsFunc(targets, func(id string) bool { return strings.TrimSuffix(id, ":8080") == kind.member(bad).ID }) {
						return kind.code + ":one of them is stopped"
					}
					return ""
				}
				errs := all(64, func(i int) error { return b.Register(t.Context(), kind.member(i)) })
				for i, err := range errs {
					switch {
					case i != bad && err != nil:
						t.Errorf("%s: %v", kind.member(i), err)
					case i == bad && (err == nil || !strings.Contains(err.Error(), kind.code+": one of them is stopped")):
						t.Errorf("the bad one: %v", err)
					}
				}
				if calls, took := len(d.made(before)), time.Since(began); calls != 13 || took > 4*time.Second {
					t.Errorf("64 changes with a bad one took %d calls and %v, want 1 and 2 for each halving", calls, took)
				}
				if err := errors.Join(all(64, func(i int) error { return b.Deregister(t.Context(), kind.member(i)) })...); err != nil {
					t.Errorf("leaving: what is not there has left (law 14), got %v", err)
				}
				for i := range 64 {
					id := kind.member(i).ID
					if i != bad && (d.members[id] || d.members[id+":8080"]) {
						t.Errorf("%s was not taken out", id)
					}
				}
			})
		})
	}
}

// Nor one that comes while those who were refused wait to be sent again.
func TestWhoComesLaterIsNotMixedWithThoseWhoWereRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		d.refuse = func(_ string, targets []string) string {
			if slices.Contains(targets, member(1).ID+":8080") {
				return "InvalidTarget:it is stopped"
			}
			return ""
		}
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				time.Sleep(time.Duration(i/2) * 310 * time.Millisecond) // the third comes when the first two were refused
				if err := b.Register(t.Context(), member(i)); (err != nil) != (i == 1) {
					t.Errorf("%s: %v", member(i), err)
				}
			})
		}
		callers.Wait()
		var sizes []int
		for _, call := range d.made(before) {
			sizes = append(sizes, len(call.targets))
		}
		if !slices.Equal(sizes, []int{2, 1, 1, 1}) {
			t.Errorf("sent calls of %v", sizes)
		}
	})
}

// What AWS says of everybody is not asked again for each.
func TestAnErrorOfTheGroupOrTheCallerIsEverybodysAtOnce(t *testing.T) {
	for _, c := range []struct{ answer, register, deregister string }{
		{"Throttling:slow down", "AWS throttles", "AWS throttles"},
		{"AccessDenied:no", "AWS denies", "AWS denies"},
		{"ExpiredToken:old", "rejects the agent's credentials", "rejects the agent's credentials"},
		{"TargetGroupNotFound:gone", "there is no such group", ""},
		{"LoadBalancerNotFound:gone", "there is no such group", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, b := newDesk()
			d.busy(t, b)
			d.refuse = func(string, []string) string { return c.answer }
			for _, verb := range []struct {
				want   string
				change func(context.Context, actuators.Membership) error
			}{{c.register, b.Register}, {c.deregister, b.Deregister}} {
				want, change := verb.want, verb.change
				d.busy(t, b)
				before := len(d.made(0))
				for i, err := range all(30, func(i int) error { return change(t.Context(), member(i)) }) {
					if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), member(i).ID+":")) {
						t.Errorf("%s: %v, want %q and which member", c.answer, err, want)
					}
				}
				if calls := len(d.made(before)); calls != 1 {
					t.Errorf("%s: %d calls for 30 changes", c.answer, calls)
				}
			}
		})
	}
}

func TestAddressesOutsideTheVPCShareCallsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		outside := func(target string) bool {
			return strings.HasPrefix(target, "10.0.0.7:") || strings.HasPrefix(target, "10.0.0.23:")
		}
		d.refuse = func(_ string, targets []string) string {
			for _, target := range targets {
				switch all := strings.HasSuffix(target, "@all"); {
				case outside(target) && !all:
					return "ValidationError:You must select 'all', since the IP address is outside the VPC"
				case !outside(target) && all:
					return "ValidationError:You cannot select 'all' for an address within the VPC"
				}
			}
			return ""
		}
		if err := errors.Join(all(32, func(i int) error { return b.Register(t.Context(), member(i)) })...); err != nil {
			t.Error(err)
		}
		registered := 0
		for target, in := range d.members {
			if in && strings.HasPrefix(target, "10.") {
				registered++
				if strings.HasSuffix(target, "@all") != outside(target) {
					t.Errorf("registered %s", target)
				}
			}
		}
		if calls := len(d.made(before)); registered != 32 || calls > 25 {
			t.Errorf("%d of 32 registered in %d calls", registered, calls)
		}
	})
}

// What is asked once more for all zones is still asked to join.
func TestAnAddressOutsideTheVPCDoesNotGoWithThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		d.refuse = func(action string, targets []string) string {
			if action == "RegisterTargets" && !strings.HasSuffix(targets[0], "@all") {
				return "ValidationError:You must select 'all', since the IP address is outside the VPC"
			}
			return ""
		}
		var joins sync.WaitGroup
		joins.Go(func() {
			if err := b.Register(t.Context(), member(7)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(310 * time.Millisecond) // it was refused, and waits for the next token
		if err := b.Deregister(t.Context(), member(1)); err != nil {
			t.Error(err)
		}
		joins.Wait()
		var sent []string
		for i, call := range d.made(before) {
			sent = append(sent, call.action+" "+strings.Join(call.targets, " "))
			if i > 0 && call.began.Sub(d.calls[before].began) < time.Duration(i)*250*time.Millisecond {
				t.Errorf("%s was sent before its turn", sent[i])
			}
		}
		want := []string{"RegisterTargets 10.0.0.7:8080", "RegisterTargets 10.0.0.7:8080@all", "DeregisterTargets 10.0.0.1:8080"}
		if !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
	})
}

func TestWhoGaveUpBeforeAskingIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Register(ctx, member(1)); !errors.Is(err, context.Canceled) || len(d.made(0)) != 0 {
			t.Errorf("%v after %d calls", err, len(d.made(0)))
		}
	})
}

func TestWhoGivesUpBeforeTheCallTakesNoPartInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		var errs [4]error
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				if i == 0 { // the one that all others joined
					errs[i] = b.Register(ctx, member(i))
				} else {
					errs[i] = b.Register(t.Context(), member(i))
				}
			})
			synctest.Wait()
		}
		cancel()
		callers.Wait()
		if !errors.Is(errs[0], context.Canceled) || errors.Join(errs[1:]...) != nil {
			t.Errorf("got %v", errs)
		}
		if calls := d.made(before); len(calls) != 1 || !slices.Equal(calls[0].targets, []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"}) {
			t.Errorf("sent %+v", calls)
		}
	})
}

func TestATokenThatNobodyWaitsForAnyMoreIsTheNextOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		before := d.busy(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := b.Register(ctx, member(1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 0 {
			t.Errorf("a wait beyond its deadline: %v after %v, want it refused at once", err, time.Since(began))
		}
		giveUp, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := b.Register(giveUp, member(2)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := b.Deregister(t.Context(), member(3)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 250*time.Millisecond+d.latency {
			t.Errorf("the only one that was sent took %v; the next token came after 250ms", took)
		}
		if calls := d.made(before); len(calls) != 1 {
			t.Errorf("sent %+v", calls)
		}
	})
}

// One caller's end is not the others'. It has to wait for the call all the same: what it does next to its node must not overtake it.
func TestWhoGivesUpDuringTheCallFailsNobody(t *testing.T) {
	for quitters := range 2 { // the first and every other one, or the rest
		synctest.Test(t, func(t *testing.T) {
			d, b := newDesk()
			d.latency = 3 * time.Second
			before, began := d.busy(t, b), time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			var callers sync.WaitGroup
			for i := range 6 {
				callers.Go(func() {
					ctx := ctx
					if i%2 != quitters {
						ctx = t.Context()
					}
					if err := b.Register(ctx, member(i)); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			callers.Wait()
			if took := time.Since(began); took != 3250*time.Millisecond || len(d.made(before)) != 1 {
				t.Errorf("took %v and %d calls", took, len(d.made(before)))
			}
		})
	}
}

func TestACallThatNobodyWantsAnyMoreEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = 4 * time.Second
		before, began := d.busy(t, b), time.Now()
		for _, err := range all(5, func(i int) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(1+i)*500*time.Millisecond, cancel)
			return b.Register(ctx, member(i))
		}) {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 2500*time.Millisecond || len(d.made(before)) != 1 {
			t.Errorf("took %v and %d calls; the last one gave up after 2.5s", took, len(d.made(before)))
		}
	})
}

// Its end is no caller's wish, and is told as what it is however close together they come.
func TestACallThatIsNotAnsweredIsNotToldAsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = time.Hour
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if err := b.Deregister(ctx, member(1)); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "interrupted") {
				t.Fatal(err)
			}
			cancel()
		}
	})
}

// A claim outlives the deadline of its own caller's call and no other (law 18).
func TestACallEndsByTheEarliestDeadlineOfItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = time.Hour
		before, began := d.busy(t, b), time.Now()
		for _, err := range all(3, func(i int) error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second+time.Duration(i)*time.Second)
			defer cancel()
			return b.Deregister(ctx, member(i))
		}) {
			wantUnanswered(t, err, "DeregisterTargets")
		}
		if took := time.Since(began); took != 2*time.Second || len(d.made(before)) != 1 {
			t.Errorf("took %v and %d calls, want one that ends after 2s", took, len(d.made(before)))
		}
	})
}

func wantUnanswered(t *testing.T, err error, action string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "no answer to elasticloadbalancing:"+action+" in time") {
		t.Errorf("%s: %v", action, err)
	}
}

// However much time its callers have, who must then read again and decide.
func TestACallThatIsSentEndsSoon(t *testing.T) { // law 15
	const limit = 4 * time.Second
	for action, change := range map[string]func(*elb.Balancer, context.Context) error{
		"RegisterTargets":                     func(b *elb.Balancer, ctx context.Context) error { return b.Register(ctx, member(1)) },
		"DeregisterTargets":                   func(b *elb.Balancer, ctx context.Context) error { return b.Deregister(ctx, member(1)) },
		"RegisterInstancesWithLoadBalancer":   func(b *elb.Balancer, ctx context.Context) error { return b.Register(ctx, ofClassic) },
		"DeregisterInstancesFromLoadBalancer": func(b *elb.Balancer, ctx context.Context) error { return b.Deregister(ctx, ofClassic) },
	} {
		synctest.Test(t, func(t *testing.T) {
			d, b := newDesk()
			d.latency = time.Hour
			for _, waits := range []bool{false, true} {
				wait := time.Duration(0)
				if waits {
					d.busy(t, b)
					wait = 250 * time.Millisecond
				}
				before, began := len(d.made(0)), time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				wantUnanswered(t, change(b, ctx), action)
				cancel()
				if took := time.Since(began); took != wait+limit || len(d.made(before)) != 1 || d.made(before)[0].took != limit {
					t.Errorf("%s took %v and %d calls, want one of %v after a wait of %v", action, took, len(d.made(before)), limit, wait)
				}
			}
		})
	}
}

func TestWhoIsInAHurryHurriesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = 3 * time.Second
		before := d.busy(t, b)
		errs := all(4, func(i int) error {
			ctx := t.Context()
			if i == 0 {
				hasty, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				ctx = hasty
			}
			return b.Deregister(ctx, member(i))
		})
		if errs[0] == nil || errors.Join(errs[1:]...) != nil || len(d.made(before)) != 2 {
			t.Errorf("got %v in %d calls, want the first alone to fail", errs, len(d.made(before)))
		}
	})
}

// What is near enough shares a call, and a batch that has gone leaves the others of its kind to be joined.
func TestDeadlinesThatLieTogetherShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = 0
		before := d.busy(t, b)
		var callers sync.WaitGroup
		ask := func(i int, within time.Duration) {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				if err := b.Deregister(ctx, member(i)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		const apart = 3 * time.Second
		ask(1, 4*time.Second)
		ask(2, 4*time.Second+apart)
		ask(5, 3900*time.Millisecond) // near the first and not the second
		ask(3, 4*time.Second+apart+1)
		time.Sleep(300 * time.Millisecond) // the first call has gone, the second waits for its token
		ask(4, 4*time.Second+apart)
		callers.Wait()
		var sent [][]string
		for _, call := range d.made(before) {
			sent = append(sent, call.targets)
		}
		if want := [][]string{{"10.0.0.1:8080", "10.0.0.2:8080"}, {"10.0.0.5:8080"}, {"10.0.0.3:8080", "10.0.0.4:8080"}}; !slices.EqualFunc(sent, want, slices.Equal) {
			t.Errorf("sent %v, want %v", sent, want)
		}
	})
}

func TestWhoNeedNotWaitIsSentHoweverLittleTimeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newDesk()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := b.Register(ctx, member(1)); err != nil {
			t.Error(err)
		}
	})
}

// Whoever waited until hardly any time is left would end the call of those who have more.
func TestWhoCouldHardlyBeAnsweredIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newDesk()
		d.latency = time.Second
		before, began := d.busy(t, b), time.Now()
		errs := all(3, func(i int) error {
			ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond+time.Duration(i)*time.Second)
			defer cancel()
			return b.Register(ctx, member(i))
		})
		if errs[0] == nil || !strings.Contains(errs[0].Error(), "at most 4 a second") || errors.Join(errs[1:]...) != nil {
			t.Errorf("got %v, want the first alone to be refused", errs)
		}
		if took := time.Since(began); took != 1250*time.Millisecond || len(d.made(before)) != 1 {
			t.Errorf("took %v and %d calls", took, len(d.made(before)))
		}
	})
}

// Callers of all kinds at once, for the race detector too: each takes its own member out and in again, sometimes gives up, and
// always knows what it did unless the answer was lost to it.
func TestManyCallersEachLearnTheirOwnTruth(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			d, b := newDesk()
			d.refuse = func(action string, targets []string) string {
				if action == "RegisterTargets" && slices.Contains(targets, "10.0.0.13:8080") {
					return "InvalidTarget:it is stopped"
				}
				return ""
			}
			var callers sync.WaitGroup
			for i := range 60 {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				callers.Go(func() {
					for n := range 8 {
						time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
						ctx, cancel := context.WithCancel(t.Context())
						if random.IntN(4) == 0 {
							time.AfterFunc(time.Duration(random.IntN(300))*time.Millisecond, cancel)
						}
						change, want := b.Register, n%2 == 0
						if !want {
							change = b.Deregister
						}
						d.oneChange(t, i, want, func() error { return change(ctx, member(i)) })
						cancel()
					}
				})
			}
			callers.Wait()
		})
	}
}

// oneChange makes a change of a member and compares what its caller is told with what happened.
func (d *desk) oneChange(t *testing.T, i int, want bool, change func() error) {
	in := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.members[fmt.Sprintf("10.0.0.%d:8080", i)]
	}
	before, err := in(), change()
	switch after := in(); {
	case i == 13 && want:
		if err == nil || after {
			t.Errorf("%s, which AWS refuses: %v, a member %t", member(i), err, after)
		}
	case err == nil && after != want:
		t.Errorf("%s: a success, and it is a member: %t, want %t", member(i), after, want)
	case err != nil && !errors.Is(err, context.Canceled):
		t.Errorf("%s: %v", member(i), err)
	case err != nil && strings.Contains(err.Error(), "too many changes are waiting") && after != before:
		t.Errorf("%s gave up while it waited and was changed to %t all the same", member(i), after)
	}
}
