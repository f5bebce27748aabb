package elb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	v1types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"golang.org/x/sync/errgroup"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// settings are what a load balancer itself adds to the rules of its groups. They take a permission that an agent may lack.
type settings struct {
	idleAfter time.Duration // of an application load balancer; 0: not known
	zonal     bool          // a network load balancer's cross-zone balancing is off
	ports     []int         // of a Classic ELB's instances
	unread    string        // what of it was not understood
}

// A loadBalancer is what is kept of one from one look-up to the next. It is known by its ARN, or by the Group.ID of a Classic ELB.
type loadBalancer struct {
	turn chan struct{} // capacity 1: held by who asks

	settings           // guarded by directory.mu, as all that follows; a good answer outlives failures
	err      error     // why there never was one
	due      time.Time // to be asked about again
}

var errNotAsked = errors.New("it was not asked about yet")

// loadBalancer returns what is kept of one. The mutex is held.
func (d *directory) loadBalancer(id string) *loadBalancer {
	if d.balancers[id] == nil {
		d.balancers[id] = &loadBalancer{turn: make(chan struct{}, 1), err: fmt.Errorf("cannot read load balancer %s: %w", nameOf(id), errNotAsked)}
	}
	return d.balancers[id]
}

// dueBalancers are the load balancers of known groups that are to be asked about, each once.
func (d *directory) dueBalancers(refs []ref) map[string]*loadBalancer {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := map[string]*loadBalancer{}
	for _, r := range refs {
		e := d.known[d.id(r)]
		if e == nil {
			continue
		}
		for _, id := range e.balancers {
			if lb := d.loadBalancer(id); !time.Now().Before(lb.due) {
				due[id] = lb
			}
		}
	}
	return due
}

func (d *directory) isDue(lb *loadBalancer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !time.Now().Before(lb.due)
}

// file keeps an answer. After a failure what was known stays in force, and it is asked again sooner.
func (d *directory) file(lb *loadBalancer, answer settings, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		lb.settings, lb.err, lb.due = answer, nil, time.Now().Add(factsAge)
		return
	case lb.err != nil:
		lb.err = err
	}
	lb.due = time.Now().Add(factsRetry)
}

// forgetUnused drops the load balancers that no known group has. The mutex is held.
func (d *directory) forgetUnused() {
	used := map[string]bool{}
	for _, e := range d.known {
		for _, id := range e.balancers {
			used[id] = true
		}
	}
	maps.DeleteFunc(d.balancers, func(id string, _ *loadBalancer) bool { return !used[id] })
}

// rules are those of a group with what its load balancers add: cross-zone balancing is off when one has it off, and a connection is
// given up when all of them do. The mutex is held.
func (d *directory) rules(f facts) actuators.Rules {
	rules, idle, unread := f.rules, []time.Duration{}, []string{f.rules.Unread}
	for _, id := range f.balancers {
		lb := d.loadBalancer(id)
		rules.Zonal = rules.Zonal || f.inherits && lb.zonal
		rules.Ports = append(rules.Ports, lb.ports...)
		idle = append(idle, lb.idleAfter)
		if unread = append(unread, lb.unread); lb.err != nil {
			unread = append(unread, lb.err.Error())
		}
	}
	if balancesRequests(rules.Protocol) && len(idle) > 0 && slices.Min(idle) > 0 {
		rules.IdleAfter = slices.Max(idle)
	}
	unread = slices.DeleteFunc(unread, func(text string) bool { return text == "" })
	rules.Unread = awsapi.OneLine(strings.Join(unread, "; "))
	return rules
}

// learnBalancers asks about those load balancers of known groups that were not asked about for a while. Their groups can be read
// without: what fails is told by their rules.
func (b *Balancer) learnBalancers(ctx context.Context, refs []ref) {
	var asking errgroup.Group
	asking.SetLimit(sideBySide)
	for id, lb := range b.directory.dueBalancers(refs) {
		asking.Go(func() error { b.learnBalancer(ctx, id, lb); return nil })
	}
	_ = asking.Wait() // errors are kept
}

// learnBalancer waits while somebody else asks about the same one, and asks when that brought no answer.
func (b *Balancer) learnBalancer(ctx context.Context, id string, lb *loadBalancer) {
	if err := acquire(ctx, lb.turn); err != nil {
		b.directory.file(lb, settings{}, unreadable(id, err))
		return
	}
	defer release(lb.turn)
	if !b.directory.isDue(lb) {
		return
	}
	ask := b.describeBalancer
	if refOf(id).classic {
		ask = b.describeClassic
	}
	answer, err := ask(ctx, id)
	b.directory.file(lb, answer, unreadable(id, err))
}

// unreadable says what of a load balancer is not known for an error, and nil for none.
func unreadable(id string, err error) error {
	what := "cross-zone setting of load balancer"
	switch {
	case err == nil:
		return nil
	case refOf(id).classic:
		what = "instance ports of classic load balancer"
	case isApplication(id):
		what = "idle time-out of load balancer"
	}
	return fmt.Errorf("cannot read the %s %s: %w", what, nameOf(id), awsapi.Explain(err))
}

// describeBalancer asks about an application load balancer, whose cross-zone balancing is always on, or a network load balancer, whose
// is off unless it says otherwise.
func (b *Balancer) describeBalancer(ctx context.Context, arn string) (found settings, err error) {
	out, err := b.api.describeBalancerAttributes(ctx, &v2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn})
	if err != nil {
		return settings{}, err
	}
	if out.Attributes == nil {
		return settings{}, fmt.Errorf("DescribeLoadBalancerAttributes leaves out the attributes: %w", awsapi.ErrIncomplete)
	}
	book := &rulebook{attributes: balancerAttributes(out.Attributes)}
	if isApplication(arn) {
		found.idleAfter, err = book.seconds(keyIdle)
		return found, err
	}
	found.zonal = book.choice(keyCrossZone, "true", "false") != "true"
	found.unread = strings.Join(book.unread, "; ")
	return found, nil
}

// describeClassic asks for the ports of a Classic ELB's instances.
func (b *Balancer) describeClassic(ctx context.Context, id string) (settings, error) {
	name := refOf(id).name
	out, err := b.api.describeClassics(ctx, &v1.DescribeLoadBalancersInput{LoadBalancerNames: []string{name}})
	if err != nil {
		return settings{}, err
	}
	i := slices.IndexFunc(out.LoadBalancerDescriptions, func(l v1types.LoadBalancerDescription) bool {
		return aws.ToString(l.LoadBalancerName) == name
	})
	if i < 0 {
		return settings{}, fmt.Errorf("DescribeLoadBalancers leaves it out: %w", awsapi.ErrIncomplete)
	}
	ports, err := instancePorts(out.LoadBalancerDescriptions[i].ListenerDescriptions)
	return settings{ports: ports}, err
}

func instancePorts(listeners []v1types.ListenerDescription) ([]int, error) {
	ports := make([]int, 0, len(listeners))
	for _, l := range listeners {
		if l.Listener == nil || aws.ToInt32(l.Listener.InstancePort) < 1 || *l.Listener.InstancePort > 65535 {
			return nil, fmt.Errorf("DescribeLoadBalancers leaves out the instance port of a listener: %w", awsapi.ErrIncomplete)
		}
		ports = append(ports, int(*l.Listener.InstancePort))
	}
	if len(ports) == 0 {
		return nil, errors.New("it has no listener: does it get traffic?")
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

const balancerResource = ":loadbalancer/"

// isApplication tells the ARN of an application load balancer from others: …:loadbalancer/app/NAME/ID.
func isApplication(arn string) bool { return strings.Contains(arn, balancerResource+"app/") }

// nameOf returns the name of a load balancer within what it is known by.
func nameOf(id string) string {
	_, resource, _ := strings.Cut(id, balancerResource)
	if parts := strings.Split(resource, "/"); len(parts) > 1 {
		return parts[1]
	}
	return cmp.Or(refOf(id).name, id)
}
