package elb_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

const (
	drainedClassic = "<LoadBalancerAttributes><ConnectionDraining><Enabled>true</Enabled><Timeout>60</Timeout></ConnectionDraining></LoadBalancerAttributes>"
	arnWebAgain    = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/fedcba9876543210"
)

// within observes with a deadline, and tells how long that took.
func within(t *testing.T, b *elb.Balancer, limit time.Duration, lbs ...desired.LoadBalancer) (actuators.GroupState, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	states, err := b.Observe(ctx, lbs, nil)
	if err != nil || len(states) != len(lbs) {
		t.Errorf("%d states, %v", len(states), err)
		return actuators.GroupState{}, 0
	}
	return states[0], time.Since(began)
}

// Whoever waits for another's question and has less time is told so, and takes nothing for gone (law 1).
func TestWhoWaitsForAnothersQuestionIsHeldNoLongerThanItsOwnDeadline(t *testing.T) {
	for _, c := range []struct {
		hangs string
		known bool
	}{{"DescribeTargetGroups", false}, {"DescribeTargetHealth", true}} {
		synctest.Test(t, func(t *testing.T) {
			s := webScript(targets())
			b := scripted(s)
			if c.known {
				within(t, b, time.Minute, web...)
			}
			s.hang = c.hangs
			var first sync.WaitGroup
			first.Go(func() { within(t, b, 10*time.Second, web...) })
			synctest.Wait()
			got, took := within(t, b, 2*time.Second, web...)
			if !strings.Contains(got.Err, "no answer in time: another request for the same is still under way") || got.Missing || took != 2*time.Second {
				t.Errorf("%s hangs: %q, missing %t, after %v", c.hangs, got.Err, got.Missing, took)
			}
			first.Wait()
		})
	}
}

// Facts that somebody else is looking up again stay in force for whoever cannot wait for that.
func TestWhoCannotWaitForAnothersLookUpTakesWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		b := scripted(s)
		within(t, b, time.Minute, web...)
		time.Sleep(10 * time.Minute)
		s.hang = "DescribeTargetGroupAttributes"
		var first sync.WaitGroup
		first.Go(func() { within(t, b, 20*time.Second, web...) })
		time.Sleep(time.Second)
		if got, took := within(t, b, 20*time.Second, web...); got.Err != "" || got.Delay != 300*time.Second || took != 3*time.Second {
			t.Errorf("%+v after %v; the look-up ends 3s later", got, took)
		}
		first.Wait()
	})
}

// Another's look-up that ended meanwhile is not waited for, and what was looked up along with it is not looked up twice.
func TestWhatAnotherLookedUpMeanwhileIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		s.latency = 100 * time.Millisecond
		slow := &script{made: map[string]int{}, latency: time.Second, answers: map[string][]string{"DescribeLoadBalancerAttributes": {"error:LoadBalancerNotFound"}}}
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _ = r.ParseForm(); r.Form.Has("LoadBalancerName") {
				slow.ServeHTTP(w, r)
				return
			}
			s.ServeHTTP(w, r)
		})), nil))
		var first sync.WaitGroup
		first.Go(func() { within(t, b, time.Minute, web...) })
		synctest.Wait()
		got, took := within(t, b, time.Minute, web[0], desired.LoadBalancer{Classic: "old"})
		if got.Err != "" || took != time.Second {
			t.Errorf("%+v after %v, want it after the one look-up of 1s", got, took)
		}
		if made := slow.made["DescribeLoadBalancerAttributes"]; made != 1 {
			t.Errorf("%d look-ups of the one that is missing", made)
		}
		first.Wait()
	})
}

// One pass finds out that a group is gone while another one, which knew it, still looks others up: that one finds it made again.
func TestAGroupThatAnotherPassFoundGoneIsLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets(), "error:TargetGroupNotFound", targets(target("10.0.0.1", "healthy", "", "")))
		again := strings.Replace(groupWeb, arnWeb, arnWebAgain, 1)
		s.answers["DescribeTargetGroups"] = []string{groupWeb, "error:TargetGroupNotFound", again}
		slow := &script{made: map[string]int{}, latency: time.Second, answers: map[string][]string{"DescribeLoadBalancerAttributes": {drainedClassic}, "DescribeInstanceHealth": {"<InstanceStates/>"}}}
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _ = r.ParseForm(); r.Form.Has("LoadBalancerName") {
				slow.ServeHTTP(w, r)
				return
			}
			s.ServeHTTP(w, r)
		})), nil))
		within(t, b, time.Minute, web...)
		var second sync.WaitGroup
		second.Go(func() {
			got, _ := within(t, b, time.Minute, web[0], desired.LoadBalancer{Classic: "old"})
			if got.Err != "" || got.ID != arnWebAgain || len(got.Members) != 1 {
				t.Errorf("the second pass: %+v", got)
			}
		})
		synctest.Wait()
		if got, _ := within(t, b, time.Minute, web...); !got.Missing {
			t.Errorf("the first pass: %+v", got)
		}
		second.Wait()
	})
}

// That a group cannot be looked up again does not say that it is gone (law 1).
func TestAGroupThatIsGoneAndCannotBeLookedUpAgainIsNotMissing(t *testing.T) {
	s := webScript(targets(), "error:TargetGroupNotFound")
	s.answers["DescribeTargetGroups"] = []string{groupWeb, "error:Throttling"}
	b := scripted(s)
	within(t, b, time.Minute, web...)
	if got, _ := within(t, b, time.Minute, web...); !strings.Contains(got.Err, "AWS throttles elasticloadbalancing:DescribeTargetGroups") || got.Missing {
		t.Errorf("%q, missing %t", got.Err, got.Missing)
	}
}

// Nothing that was known of a group, or remembered of its members, outlives it.
func TestAGroupThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := target("10.0.0.1", "healthy", "", ""), target("10.0.0.2", "healthy", "", "")
		s := webScript(targets(one), "error:TargetGroupNotFound", targets(one, two))
		s.answers["DescribeTargetGroups"] = []string{groupWeb, "error:TargetGroupNotFound", groupWeb, "error:TargetGroupNotFound"}
		b, arn := scripted(s), desired.LoadBalancer{TargetGroup: arnWeb}
		within(t, b, time.Minute, web...)
		if got, _ := within(t, b, time.Minute, web...); !got.Missing {
			t.Errorf("gone: %+v", got)
		}
		if got, _ := within(t, b, time.Minute, arn); len(got.Members) != 2 || got.Members[1].Status != actuators.TargetHealthy {
			t.Errorf("there again: %+v; at the first reading whoever is healthy is warm", got)
		}
		if got, _ := within(t, b, time.Minute, web...); !got.Missing {
			t.Errorf("its name is gone: %+v", got)
		}
	})
}

func TestAGroupThatIsReadAsGoneIsLookedUpAfresh(t *testing.T) {
	s := webScript(targets(), "error:TargetGroupNotFound", targets())
	s.answers["DescribeTargetGroupAttributes"] = []string{attributes, strings.Replace(attributes, "300", "60", 1)}
	b, arn := scripted(s), desired.LoadBalancer{TargetGroup: arnWeb}
	within(t, b, time.Minute, arn)
	if got, _ := within(t, b, time.Minute, arn); got.Err != "" || got.Delay != time.Minute {
		t.Errorf("%+v, want the new delay", got)
	}
}

// What is looked up again and gone is not read with what was known of it, then or later.
func TestAGroupThatIsLookedUpAgainAndGoneIsNotKnownAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{groupWeb, "error:TargetGroupNotFound", "error:Throttling"}
		b := scripted(s)
		within(t, b, time.Minute, web...)
		time.Sleep(10 * time.Minute)
		if got, _ := within(t, b, time.Minute, web...); !got.Missing {
			t.Errorf("gone: %+v", got)
		}
		if got, _ := within(t, b, time.Minute, web...); !strings.Contains(got.Err, "AWS throttles") || got.Missing {
			t.Errorf("not known whether it is there: %+v", got)
		}
		if made := s.made["DescribeTargetHealth"]; made != 1 {
			t.Errorf("read %d times", made)
		}
	})
}

// A target group and a Classic ELB may have one name.
func TestATargetGroupAndAClassicOfOneNameAreTwoGroups(t *testing.T) {
	s := webScript(targets())
	s.answers["DescribeLoadBalancerAttributes"] = []string{drainedClassic, "error:LoadBalancerNotFound"}
	s.answers["DescribeInstanceHealth"] = []string{"<InstanceStates/>", "error:LoadBalancerNotFound"}
	b, classic := scripted(s), desired.LoadBalancer{Classic: "web"}
	if got, _ := within(t, b, time.Minute, classic); got.ID != "classic/web" || got.Delay != time.Minute {
		t.Errorf("the Classic ELB: %+v", got)
	}
	if got, _ := within(t, b, time.Minute, web...); got.ID != arnWeb || got.Delay != 300*time.Second {
		t.Errorf("the target group: %+v", got)
	}
	for range 3 {
		if got, _ := within(t, b, time.Minute, classic, web[0]); !got.Missing {
			t.Errorf("the Classic ELB is gone: %+v", got)
		}
	}
	if made := s.made["DescribeTargetGroups"]; made != 1 {
		t.Errorf("%d look-ups of the target group, which is there", made)
	}
}

// One name that is missing fails a call for all, which is halved until it stands alone.
func TestAMissingNameCostsFewLookUps(t *testing.T) { // G9
	for missing := range 4 {
		w := newWorld(t)
		var lbs []desired.LoadBalancer
		for i := range 4 {
			lb := desired.LoadBalancer{TargetGroup: fmt.Sprint("web-", i)}
			if i != missing {
				w.group(aws.TargetGroup{Name: lb.TargetGroup}, true)
			}
			lbs = append(lbs, lb)
		}
		for i, state := range w.observe(lbs...) {
			if state.Missing != (i == missing) || (state.Err != "") != (i == missing) {
				t.Errorf("%d is missing, and %d: %+v", missing, i, state)
			}
		}
		want := map[string]int{"elbv2:DescribeTargetGroups": 5, "elbv2:DescribeTargetGroupAttributes": 3, "elbv2:DescribeTargetHealth": 3}
		if made := w.calls(nil); !maps.Equal(made, want) {
			t.Errorf("%d is missing, which cost %v, want %v", missing, made, want)
		}
	}
}

// A pass over many groups leaves the API to others, too (G9).
func TestOnlyAFewGroupsAreAskedAboutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{made: map[string]int{}, answers: map[string][]string{"DescribeLoadBalancerAttributes": {drainedClassic}, "DescribeLoadBalancers": {listening("old", 80)}, "DescribeInstanceHealth": {"<InstanceStates/>"}}}
		var mu sync.Mutex
		now, most := map[string]int{}, map[string]int{}
		count := func(action string, by int) {
			mu.Lock()
			defer mu.Unlock()
			now[action] += by
			most[action] = max(most[action], now[action])
		}
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			count(r.Form.Get("Action"), 1)
			defer count(r.Form.Get("Action"), -1)
			time.Sleep(100 * time.Millisecond)
			s.ServeHTTP(w, r)
		})), nil))
		var lbs []desired.LoadBalancer
		for i := range 30 {
			lbs = append(lbs, desired.LoadBalancer{Classic: fmt.Sprint("old-", i)})
		}
		if got, took := within(t, b, time.Minute, lbs...); got.Err != "" || took != 1200*time.Millisecond {
			t.Errorf("%+v after %v, want it after three times 4 rounds of 8", got, took)
		}
		if want := map[string]int{"DescribeLoadBalancerAttributes": 8, "DescribeLoadBalancers": 8, "DescribeInstanceHealth": 8}; !maps.Equal(most, want) {
			t.Errorf("asked %v at once, want %v", most, want)
		}
	})
}

// What fails for another cause than a name would fail for each half as well.
func TestALookUpThatIsThrottledIsNotHalved(t *testing.T) { // G9
	s := webScript(targets())
	s.answers["DescribeTargetGroups"] = []string{"error:Throttling"}
	got, _ := within(t, scripted(s), time.Minute, web[0], desired.LoadBalancer{TargetGroup: "admin"}, desired.LoadBalancer{TargetGroup: "api"})
	if made := s.made["DescribeTargetGroups"]; made != 1 || got.Missing || !strings.Contains(got.Err, "AWS throttles") {
		t.Errorf("%d look-ups, %+v", made, got)
	}
}
