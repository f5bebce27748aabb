package ec2_test

import (
	"net/http"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/ec2"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

// A world is a sandbox cloud with a Finder over the real SDK client.
type world struct {
	*aws.Cloud
	finder *ec2.Finder
	t      *testing.T
}

func newWorld(t *testing.T) world {
	t.Helper()
	cloud := awsapitest.Cloud(t, time.Now)
	return world{Cloud: cloud, finder: ec2.New(awsapi.Prepare(awsapitest.Config(cloud.URL()), nil)), t: t}
}

// add adds an instance of fleet "web" with a tag Name.
func (w world) add(i aws.Instance, name string) {
	w.t.Helper()
	if i.Tags == nil {
		i.Tags = map[string]string{"app": "web", "env": "live"}
	}
	if name != "" {
		i.Tags["Name"] = name
	}
	if err := w.AddInstance(i); err != nil {
		w.t.Fatal(err)
	}
}

// nodes finds the nodes of a set, which must succeed.
func (w world) nodes(set desired.NodeSet) actuators.Inventory {
	w.t.Helper()
	inventory, err := w.finder.Nodes(w.t.Context(), set)
	if err != nil {
		w.t.Fatal(err)
	}
	return inventory
}

func tagged(pairs ...string) desired.NodeSet {
	set := desired.NodeSet{EC2: &desired.EC2Selector{Tags: map[string]string{}, Address: desired.PrivateAddress}}
	for i := 0; i < len(pairs); i += 2 {
		set.EC2.Tags[pairs[i]] = pairs[i+1]
	}
	return set
}

func names(inventory actuators.Inventory) []string {
	var names []string
	for _, node := range inventory.Nodes {
		names = append(names, node.Name)
	}
	return names
}

func answering(handler http.HandlerFunc) *ec2.Finder {
	return ec2.New(awsapi.Prepare(awsapitest.Answered(handler), nil))
}
