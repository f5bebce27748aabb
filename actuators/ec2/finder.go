package ec2

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/awsapi"
)

const (
	callTime = 30 * time.Second // for one page, the SDK's retries included
	pageSize = 1000             // the most that DescribeInstances gives
)

// A Finder finds the machines of fleets in one account and region. Its method may be called from many goroutines.
type Finder struct {
	// A method and not the client, so that the linker drops the hundreds that are not used.
	describe func(context.Context, *sdk.DescribeInstancesInput, ...func(*sdk.Options)) (*sdk.DescribeInstancesOutput, error)
}

// New returns a Finder over cfg, which comes from awsapi.Load or awsapi.Prepare. It asks nothing yet.
func New(cfg aws.Config) *Finder {
	return &Finder{describe: sdk.NewFromConfig(cfg).DescribeInstances}
}

// Nodes returns the machines of a set, sorted by name: its static nodes and the running instances with its tags, a machine
// that is both once. Excluded nodes are among them.
//
// A nil error means the answer is complete. An instance that is found and cannot be used, for want of the address asked
// for, is no node and a line of Problems. A set of static nodes only asks nobody; otherwise it costs one call for each
// thousand instances.
func (f *Finder) Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	var instances []instance
	if set.EC2 != nil {
		var err error
		if instances, err = f.running(ctx, set.EC2.Tags); err != nil {
			return actuators.Inventory{}, fmt.Errorf("cannot find instances with tags %s: %w", tagLine(set.EC2.Tags), err)
		}
	}
	return join(set, instances), nil
}

// running lists the running instances that carry all tags, sorted by id.
func (f *Finder) running(ctx context.Context, tags map[string]string) ([]instance, error) {
	if len(tags) == 0 {
		return nil, fmt.Errorf("no tags are given, which would select every instance of the account; set nodes.ec2.tags")
	}
	in := &sdk.DescribeInstancesInput{Filters: filters(tags), MaxResults: aws.Int32(pageSize)}
	found := map[string]instance{} // an instance may move to a page that is read later
	for {
		out, err := f.page(ctx, in)
		if err != nil {
			return nil, err
		}
		if err := collect(out.Reservations, tags, found); err != nil {
			return nil, err
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			break
		}
		if token == aws.ToString(in.NextToken) {
			return nil, fmt.Errorf("DescribeInstances names the same next page again: %w", awsapi.ErrIncomplete)
		}
		in.NextToken = &token
	}
	return slices.SortedFunc(maps.Values(found), func(a, b instance) int { return strings.Compare(a.id, b.id) }), nil
}

func (f *Finder) page(ctx context.Context, in *sdk.DescribeInstancesInput) (*sdk.DescribeInstancesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := f.describe(ctx, in)
	if err != nil {
		return nil, awsapi.Explain(err)
	}
	if out.Reservations == nil {
		return nil, fmt.Errorf("DescribeInstances leaves out the reservations: %w", awsapi.ErrIncomplete)
	}
	return out, nil
}

// collect adds the running instances of a page to found. What AWS would never send is an error, since skipping it would
// make the fleet look smaller than it is.
func collect(reservations []types.Reservation, tags map[string]string, found map[string]instance) error {
	for _, reservation := range reservations {
		if reservation.Instances == nil {
			return fmt.Errorf("DescribeInstances leaves out a reservation's instances: %w", awsapi.ErrIncomplete)
		}
		for _, described := range reservation.Instances {
			id := aws.ToString(described.InstanceId)
			if id == "" || described.State == nil || described.State.Name == "" {
				return fmt.Errorf("DescribeInstances leaves out an instance's id or state: %w", awsapi.ErrIncomplete)
			}
			if !carries(described, tags) {
				return fmt.Errorf("DescribeInstances answers with %s, which lacks the tags asked for: %w", awsapi.OneLine(id), awsapi.ErrIncomplete)
			}
			if described.State.Name == types.InstanceStateNameRunning {
				found[id] = instanceOf(described)
			}
		}
	}
	return nil
}

// filters select running instances with all tags; * and ? in a value would otherwise match anything.
func filters(tags map[string]string) []types.Filter {
	exact := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)
	list := []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{string(types.InstanceStateNameRunning)}}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Filter{Name: aws.String("tag:" + key), Values: []string{exact.Replace(tags[key])}})
	}
	return list
}

func carries(described types.Instance, tags map[string]string) bool {
	for key, value := range tags {
		if got, ok := tag(described, key); !ok || got != value {
			return false
		}
	}
	return true
}

func tag(described types.Instance, key string) (string, bool) {
	i := slices.IndexFunc(described.Tags, func(t types.Tag) bool { return aws.ToString(t.Key) == key })
	if i < 0 {
		return "", false
	}
	return aws.ToString(described.Tags[i].Value), true
}

// An instance is the little that is kept of what EC2 describes; ten thousand whole descriptions are tens of megabytes.
type instance struct {
	id                    string
	name                  string // tag Name
	zone                  string
	private, public       string // addresses
	privateDNS, publicDNS string
}

func instanceOf(described types.Instance) instance {
	i := instance{
		id:         *described.InstanceId,
		private:    aws.ToString(described.PrivateIpAddress),
		public:     aws.ToString(described.PublicIpAddress),
		privateDNS: aws.ToString(described.PrivateDnsName),
		publicDNS:  aws.ToString(described.PublicDnsName),
	}
	i.name, _ = tag(described, "Name")
	if described.Placement != nil {
		i.zone = aws.ToString(described.Placement.AvailabilityZone)
	}
	return i
}

func tagLine(tags map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, key+"="+tags[key])
	}
	return strings.Join(pairs, ",")
}
