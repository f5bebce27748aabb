package aws

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is where an instance is in its life.
type State string

// The states of an instance.
const (
	Pending      State = "pending"
	Running      State = "running"
	ShuttingDown State = "shutting-down"
	Terminated   State = "terminated"
	Stopping     State = "stopping"
	Stopped      State = "stopped"
)

func (s State) code() (code int, known bool) {
	code, known = map[State]int{Pending: 0, Running: 16, ShuttingDown: 32, Terminated: 48, Stopping: 64, Stopped: 80}[s]
	return code, known
}

// Instance is a machine. A balancer reaches it under its private address, so that machines of the sandbox that serve on
// the same port have different addresses, on loopback unless [Config.Reaches] allows others.
type Instance struct {
	ID             string
	State          State // default Running
	Zone           string
	PrivateAddress string
	PublicAddress  string
	Tags           map[string]string
	Launched       time.Time // default now
}

// instances is every instance by its id; nil in a timeline stands for one that is not there.
type instances map[string]*timeline[*Instance]

func (all instances) at(id string, when time.Time) *Instance {
	if history := all[id]; history != nil {
		return history.at(when)
	}
	return nil
}

// zoneOf returns the zone of the instance with a private address, empty when there is none.
func (all instances) zoneOf(address string, when time.Time) string {
	for _, history := range all {
		if i := history.at(when); i != nil && i.PrivateAddress == address {
			return i.Zone
		}
	}
	return ""
}

// AddInstance adds a machine. The id must be new.
func (c *Cloud) AddInstance(i Instance) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i.State = orElse(i.State, Running)
	if _, known := i.State.code(); !known {
		return fmt.Errorf("cannot add instance %s: %q is no state of an instance", i.ID, i.State)
	}
	if c.instances.at(i.ID, c.now()) != nil {
		return fmt.Errorf("cannot add instance %s: it is there already", i.ID)
	}
	i.Launched = orElse(i.Launched, c.now())
	i.Tags = maps.Clone(i.Tags)
	if c.instances[i.ID] == nil {
		c.instances[i.ID] = &timeline[*Instance]{}
	}
	c.instances[i.ID].set(c.now(), &i)
	c.announce()
	return nil
}

// SetInstanceState moves an instance to another state. What runs on the machine is not touched.
func (c *Cloud) SetInstanceState(id string, state State) error {
	if _, known := state.code(); !known {
		return fmt.Errorf("cannot set the state of instance %s: %q is no state of an instance", id, state)
	}
	return c.changeInstance(id, func(i Instance) *Instance {
		i.State = state
		return &i
	})
}

// RemoveInstance makes the API forget an instance, as it does an hour after a termination. Balancers keep it as a member
// in an invalid state.
func (c *Cloud) RemoveInstance(id string) error {
	return c.changeInstance(id, func(Instance) *Instance { return nil })
}

func (c *Cloud) changeInstance(id string, change func(Instance) *Instance) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.instances.at(id, c.now())
	if i == nil {
		return fmt.Errorf("cannot change instance %s: there is none", id)
	}
	c.instances[id].set(c.now(), change(*i))
	c.announce()
	return nil
}

// maxInstances is the most instances that a page holds.
const maxInstances = 1000

func (c *Cloud) describeInstances(q query) (any, error) {
	const invalid = "InvalidParameterValue"
	ids := q.list("InstanceId")
	if len(ids) > 0 && q.Has("MaxResults") {
		return nil, refusal("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	found, err := c.selectInstances(ids, q.asOf)
	if err != nil {
		return nil, err
	}
	filters, err := q.filters()
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(i *Instance) bool { return !filters.match(i) })
	size, err := q.size("MaxResults", 5, maxInstances, invalid)
	if err != nil {
		return nil, err
	}
	part, next, err := page(found, func(i *Instance) string { return i.ID }, q.Get("NextToken"), size, invalid)
	if err != nil {
		return nil, err
	}
	result := describeInstancesResult{RequestID: requestID, NextToken: next}
	for _, i := range part {
		result.Reservations = append(result.Reservations, reservationOf(i))
	}
	return result, nil
}

// selectInstances returns the instances with the given ids, or all, sorted by id.
func (c *Cloud) selectInstances(ids []string, asOf time.Time) ([]*Instance, error) {
	all := len(ids) == 0
	if all {
		ids = slices.Collect(maps.Keys(c.instances))
	}
	slices.Sort(ids)
	wellFormed := regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`)
	var found []*Instance
	var missing []string
	for _, id := range slices.Compact(ids) {
		if i := c.instances.at(id, asOf); i != nil {
			found = append(found, i)
		} else if !wellFormed.MatchString(id) && !all {
			return nil, refusal("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 && !all {
		return nil, refusal("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(missing, ", "))
	}
	return found, nil
}

// filters are all to be met, each by one of its patterns.
type filters map[string][]*regexp.Regexp

func (q query) filters() (filters, error) {
	all := filters{}
	for n := 1; q.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		name := q.Get(fmt.Sprintf("Filter.%d.Name", n))
		if _, _, known := (&Instance{}).filterable(name); !known {
			return nil, refusal("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		for _, value := range q.list(fmt.Sprintf("Filter.%d.Value", n)) {
			all[name] = append(all[name], wildcard(value))
		}
	}
	return all, nil
}

// wildcard compiles a filter's value: * stands for any text, ? for one character.
func wildcard(value string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(value)
	return regexp.MustCompile("^(?s:" + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + ")$")
}

func (f filters) match(i *Instance) bool {
	for name, patterns := range f {
		values, present, _ := i.filterable(name)
		met := func(p *regexp.Regexp) bool { return slices.ContainsFunc(values, p.MatchString) }
		if !present || !slices.ContainsFunc(patterns, met) {
			return false
		}
	}
	return true
}

// filterable returns what a filter compares with, whether the instance has it, and whether there is such a filter.
func (i *Instance) filterable(filter string) (values []string, present, known bool) {
	if tag, isTag := strings.CutPrefix(filter, "tag:"); isTag {
		value, present := i.Tags[tag]
		return []string{value}, present, true
	}
	switch filter {
	case "instance-id":
		return []string{i.ID}, true, true
	case "instance-state-name":
		return []string{string(i.State)}, true, true
	case "tag-key":
		return slices.Collect(maps.Keys(i.Tags)), true, true
	}
	return nil, false, false
}

type describeInstancesResult struct {
	RequestID    string        `xml:"requestId"`
	Reservations []reservation `xml:"reservationSet>item"`
	NextToken    string        `xml:"nextToken,omitempty"`
}

type reservation struct {
	ID        string         `xml:"reservationId"`
	Owner     string         `xml:"ownerId"`
	Instances []instanceItem `xml:"instancesSet>item"`
}

type instanceItem struct {
	ID             string    `xml:"instanceId"`
	StateCode      int       `xml:"instanceState>code"`
	StateName      State     `xml:"instanceState>name"`
	PrivateAddress string    `xml:"privateIpAddress,omitempty"`
	PublicAddress  string    `xml:"ipAddress,omitempty"`
	Launched       string    `xml:"launchTime"`
	Zone           string    `xml:"placement>availabilityZone,omitempty"`
	Tags           []tagItem `xml:"tagSet>item"`
}

type tagItem struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// reservationOf writes an instance down; a terminated one has lost its addresses.
func reservationOf(i *Instance) reservation {
	code, _ := i.State.code()
	item := instanceItem{
		ID: i.ID, StateCode: code, StateName: i.State, Zone: i.Zone,
		Launched: timestamp(i.Launched),
	}
	if i.State != Terminated {
		item.PrivateAddress, item.PublicAddress = i.PrivateAddress, i.PublicAddress
	}
	for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
		item.Tags = append(item.Tags, tagItem{key, i.Tags[key]})
	}
	return reservation{ID: "r-" + strings.TrimPrefix(i.ID, "i-"), Owner: account, Instances: []instanceItem{item}}
}
