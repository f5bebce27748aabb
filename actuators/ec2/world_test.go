package ec2_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"windlass/actuators"
	"windlass/actuators/ec2"
	"windlass/desired"
	"windlass/internal/awsapi"
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
	cloud := aws.New(aws.Config{})
	if err := cloud.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return world{Cloud: cloud, finder: ec2.New(awsapi.Prepare(config(cloud.URL()), nil)), t: t}
}

// config takes nothing from the environment. It does not retry: tests that want retries say so.
func config(url string) sdk.Config {
	return sdk.Config{
		Region:       "eu-central-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		Retryer:      func() sdk.Retryer { return sdk.NopRetryer{} },
	}
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

// inMemory is an HTTP client that hands requests to a handler without a network.
type inMemory struct{ http.Handler }

func (m inMemory) Do(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	m.ServeHTTP(recorder, r)
	return recorder.Result(), r.Context().Err()
}

func answering(handler http.HandlerFunc) *ec2.Finder {
	cfg := config("http://aws.invalid")
	cfg.HTTPClient = inMemory{handler}
	return ec2.New(awsapi.Prepare(cfg, nil))
}
