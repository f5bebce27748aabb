package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"windlass/internal/awsapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the cloud's time, which moves only when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a started cloud with clients of the real SDK, none of which retries.
type world struct {
	*Cloud
	*clock
	t      *testing.T
	elb    *elb.Client
	elbv2  *elbv2.Client
	client *http.Client // one connection per request
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	clock := &clock{now: time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)}
	cloud := New(Config{Now: clock.Now})
	check(t, cloud.Start(t.Context()))
	t.Cleanup(func() { check(t, cloud.Close()) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	cfg := awsapi.Prepare(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(cloud.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
		HTTPClient: client, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}, nil)
	return &world{
		Cloud: cloud, clock: clock, t: t, client: client,
		elb: elb.NewFromConfig(cfg), elbv2: elbv2.NewFromConfig(cfg),
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for calls whose failure ends the test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got error %v, want code %s", err, code)
	}
}

// quick is a health check for tests.
var quick = HealthCheck{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 2}

// await blocks until cond holds, asking again after each change in the cloud.
func (w *world) await(what string, cond func() bool) {
	w.t.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := w.Changed()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-late:
			w.t.Fatalf("waited too long until %s", what)
		}
	}
}

func (w *world) awaitState(name string, target Target, state string) {
	w.t.Helper()
	w.await(target.ID+" is "+state, func() bool {
		return must(w.Health(name))(w.t)[target].State == state
	})
}

// node is a server whose answers a test chooses.
type node struct {
	*httptest.Server
	target Target
	status atomic.Int64
	served atomic.Int64 // without health checks
	hold   chan struct{}
	held   chan struct{} // gets a value when a request to /hold or /stream has arrived
	broken atomic.Bool   // a request to /once was dropped
	from   chan string   // the address that each of the first requests came from, without health checks
	closed chan string   // the address of each of the first connections that ended
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{hold: make(chan struct{}), held: make(chan struct{}, 1), from: make(chan string, 100), closed: make(chan string, 1000)}
	n.status.Store(http.StatusOK)
	n.Server = httptest.NewUnstartedServer(n)
	n.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			offer(n.closed, conn.RemoteAddr().String())
		}
	}
	n.Start()
	address := netip.MustParseAddrPort(n.Listener.Addr().String())
	n.target = Target{ID: address.Addr().String(), Port: int(address.Port())}
	t.Cleanup(n.Close)
	return n
}

// offer sends a value unless there is no room for it.
func offer(to chan<- string, value string) {
	select {
	case to <- value:
	default:
	}
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.UserAgent() != "ELB-HealthChecker/2.0" {
		n.served.Add(1)
		offer(n.from, r.RemoteAddr)
	}
	switch r.URL.Path {
	case "/hold":
		n.held <- struct{}{}
		<-n.hold
	case "/stream":
		w.Write([]byte("half "))
		w.(http.Flusher).Flush()
		n.held <- struct{}{}
		<-n.hold
		w.Write([]byte("and half"))
		return
	case "/once":
		if n.broken.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
	case "/never":
		<-r.Context().Done()
		return
	case "/abort":
		w.WriteHeader(http.StatusOK)
		w.Write([]byte("half"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Node", n.target.ID)
	w.WriteHeader(int(n.status.Load()))
	w.Write([]byte(r.Host + " " + r.Header.Get("X-Forwarded-For")))
}

// ipGroup adds a target group of addresses behind a load balancer of the same name and returns its ARN and the
// balancer's URL.
func (w *world) ipGroup(g TargetGroup) (arn, url string) {
	w.t.Helper()
	return w.balanced(g, LoadBalancer{})
}

// balanced is ipGroup with a load balancer of the caller's choice.
func (w *world) balanced(g TargetGroup, b LoadBalancer) (arn, url string) {
	w.t.Helper()
	g.Type = "ip"
	g.HealthCheck = orElse(g.HealthCheck, quick)
	arn = must(w.AddTargetGroup(g))(w.t)
	b.Name, b.TargetGroups = g.Name, []string{g.Name}
	return arn, "http://" + must(w.AddLoadBalancer(b))(w.t)
}

// healthOf asks the API about all members of a target group, by id.
func (w *world) healthOf(arn string) map[string]string {
	w.t.Helper()
	out := must(w.elbv2.DescribeTargetHealth(w.t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn}))(w.t)
	states := map[string]string{}
	for _, d := range out.TargetHealthDescriptions {
		states[*d.Target.Id] = string(d.TargetHealth.State) + " " + string(d.TargetHealth.Reason)
	}
	return states
}

// status sends one request and returns the status of the answer, 0 when there is none.
func (w *world) status(url string) int {
	response, err := w.client.Get(url)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// line writes values down with spaces between them.
func line(values ...any) string { return strings.TrimSpace(fmt.Sprintln(values...)) }
