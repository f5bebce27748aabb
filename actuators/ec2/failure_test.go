package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"windlass/actuators/ec2"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

// fails finds nodes and wants one line with all parts, and nobody beside it.
func fails(ctx context.Context, t *testing.T, finder *ec2.Finder, set desired.NodeSet, parts ...string) {
	t.Helper()
	got, err := finder.Nodes(ctx, set)
	if err == nil || len(got.Nodes)+len(got.Problems) > 0 {
		t.Fatalf("got %+v, %v; want an error and nobody (law 1)", got, err)
	}
	for _, part := range append(parts, "cannot find instances with tags ") {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q\nlacks %q", err, part)
		}
	}
}

func TestAnOutageIsAnErrorAndNoEmptyFleet(t *testing.T) { // law 1
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	set := tagged("app", "web")

	w.Adjust(func(f *aws.Faults) { f.Denied = []string{"ec2:*"} })
	fails(t.Context(), t, w.finder, set, "app=web", "AWS denies ec2:DescribeInstances (UnauthorizedOperation): allow it in the IAM policy")
	w.Adjust(func(f *aws.Faults) { *f = aws.Faults{Throttle: map[string]aws.Rate{"*": {}}} })
	fails(t.Context(), t, w.finder, set, "AWS throttles ec2:DescribeInstances (RequestLimitExceeded)")
	w.Adjust(func(f *aws.Faults) {
		*f = aws.Faults{Before: func(string, url.Values) error { return http.ErrAbortHandler }}
	})
	fails(t.Context(), t, w.finder, set, "cannot reach AWS for ec2:DescribeInstances")
	w.Adjust(func(f *aws.Faults) { *f = aws.Faults{Latency: time.Hour} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	fails(ctx, t, w.finder, set, "no answer to ec2:DescribeInstances in time")

	w.Adjust(func(f *aws.Faults) { *f = aws.Faults{} })
	if got := names(w.nodes(set)); len(got) != 1 {
		t.Errorf("the outage is over, got %v", got)
	}
}

func TestAPageThatIsMissingIsAnError(t *testing.T) { // law 1
	w := newWorld(t)
	for _, id := range []string{"i-0000000a", "i-0000000b", "i-0000000c"} {
		w.add(aws.Instance{ID: id, PrivateAddress: "10.0.0." + id[9:]}, id)
	}
	w.Adjust(func(f *aws.Faults) {
		f.PageSize = 1
		f.Before = func(_ string, form url.Values) error {
			if w.Calls()["ec2:DescribeInstances"] >= 2 {
				return &aws.Error{Code: "InternalError", Message: "An internal error has occurred", Status: http.StatusInternalServerError}
			}
			return nil
		}
	})
	fails(t.Context(), t, w.finder, tagged("app", "web"), "InternalError: An internal error has occurred")
}

func TestSettingsThatAreMissing(t *testing.T) {
	cfg := awsapitest.Config("http://127.0.0.1:1")
	cfg.Region = ""
	fails(t.Context(), t, ec2.New(awsapi.Prepare(cfg, nil)), tagged("app", "web"), "no AWS region is set: set AWS_REGION")
	cfg = awsapitest.Config("http://127.0.0.1:1")
	cfg.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
		return sdk.Credentials{}, errors.New("no EC2 IMDS role found")
	})
	fails(t.Context(), t, ec2.New(awsapi.Prepare(cfg, nil)), tagged("app", "web"), "no AWS credentials for ec2:DescribeInstances: give this machine an instance role", "no EC2 IMDS role found")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	fails(t.Context(), t, ec2.New(awsapi.Prepare(awsapitest.Config(gone.URL), nil)), tagged("app", "web"), "cannot reach AWS", "connection refused")
	fails(t.Context(), t, ec2.New(awsapi.Prepare(awsapitest.Config(gone.URL), nil)), tagged(), "no tags are given")
}

func TestAPageThatDoesNotComeIsGivenUp(t *testing.T) { // law 15
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		fails(t.Context(), t, answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), tagged("app", "web"), "no answer to ec2:DescribeInstances in time")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it was given up after %v", took)
		}
	})
}

func TestACallerWhoGivesUpIsNotKept(t *testing.T) { // law 15
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		fails(ctx, t, answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), tagged("app", "web"))
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the caller was kept for %v", took)
		}
	})
}

func TestThrottledCallsAreTriedAgain(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		var counted []string
		tries := 0
		cfg := awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if action := r.FormValue("Action"); action != "DescribeInstances" {
				t.Errorf("try %d asks for %q", tries+1, action)
			}
			if tries++; tries < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow down</Message></Error></Errors></Response>")
				return
			}
			_, _ = io.WriteString(w, "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>")
		}))
		cfg.Retryer = func() sdk.Retryer { return retry.NewStandard() }
		finder := ec2.New(awsapi.Prepare(cfg, func(service, operation, code string) { counted = append(counted, service+" "+operation+" "+code) }))
		if _, err := finder.Nodes(t.Context(), tagged("app", "web")); err != nil {
			t.Error(err)
		}
		want := "ec2 DescribeInstances RequestLimitExceeded,ec2 DescribeInstances RequestLimitExceeded,ec2 DescribeInstances ok"
		if got := strings.Join(counted, ","); got != want {
			t.Errorf("counted %s\nwant    %s", got, want)
		}
	})
}

func instances(items string) string {
	return "<DescribeInstancesResponse><reservationSet><item><instancesSet>" + items + "</instancesSet></item></reservationSet></DescribeInstancesResponse>"
}

const good = "<item><instanceId>i-0000000a</instanceId><instanceState><name>running</name></instanceState><privateIpAddress>10.0.0.1</privateIpAddress><tagSet><item><key>app</key><value>web</value></item></tagSet></item>"

func TestAnIncompleteAnswerIsNoShorterList(t *testing.T) { // law 1
	for _, body := range []string{
		"",
		"<html><body>Please log in</body></html>",
		"<DescribeInstancesResponse/>",
		"<DescribeInstancesResponse><reservationSet><item/></reservationSet></DescribeInstancesResponse>",
		instances(good + "<item/>"),
		instances(good + "<item><instanceId>i-0000000b</instanceId></item>"),
		instances(good + strings.Replace(good, "<instanceId>i-0000000a</instanceId>", "", 1)),
		instances(good + strings.Replace(good, "<name>running</name>", "", 1)),
		instances(good + strings.Replace(good, "<key>app</key>", "<key>ape</key>", 1)),
		instances(good + strings.Replace(good, "<value>web</value>", "<value>api</value>", 1)),
		instances(good + strings.Replace(good, "<key>app</key>", "<key>APP</key>", 1)),
		instances(good + strings.NewReplacer("running", "stopped", "<key>app</key>", "<key>ape</key>").Replace(good)),
		strings.TrimSuffix(instances(good), "</DescribeInstancesResponse>"),
		strings.Replace(instances(good), "</reservationSet>", "</reservationSet><nextToken>more</nextToken>", 1),
	} {
		fails(t.Context(), t, answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }), tagged("app", "web"))
	}
}

func TestAnInstanceLacksATagThatIsAskedFor(t *testing.T) {
	bare := strings.Replace(good, "<item><key>app</key><value>web</value></item>", "", 1)
	for _, c := range []struct {
		item string
		asks desired.NodeSet
	}{
		{good, tagged("env", "")}, // one that is missing is not an empty one
		{bare, tagged("env", "")},
		{good, tagged("app", "web", "env", "live")},
		{good, tagged("a", "live", "app", "web")},
	} {
		fails(t.Context(), t, answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, instances(c.item)) }), c.asks, "lacks the tags asked for")
	}
}

func TestAnInstanceThatIsEndingIsNotListed(t *testing.T) { // G14
	body := instances(good + strings.NewReplacer("i-0000000a", "i-0000000b", "running", "shutting-down").Replace(good))
	finder := answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	if got, err := finder.Nodes(t.Context(), tagged("app", "web")); err != nil || len(got.Nodes) != 1 || got.Nodes[0].ID != "i-0000000a" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Each page is asked for as the first one was, and an instance that two of them list is as the later one has it.
func TestPagesAreOfOneQuestion(t *testing.T) {
	var forms []url.Values
	finder := answering(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms = append(forms, r.Form)
		if len(forms) == 1 {
			_, _ = io.WriteString(w, strings.Replace(instances(good), "</reservationSet>", "</reservationSet><nextToken>more</nextToken>", 1))
			return
		}
		_, _ = io.WriteString(w, instances(strings.Replace(good, "10.0.0.1", "10.0.0.2", 1)))
	})
	got, err := finder.Nodes(t.Context(), tagged("app", "web"))
	if err != nil || len(got.Nodes) != 1 || got.Nodes[0].Address != "10.0.0.2" {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(forms) != 2 || forms[0].Has("NextToken") || forms[1].Get("NextToken") != "more" {
		t.Fatalf("asked %v", forms)
	}
	forms[1].Del("NextToken")
	if first, second := forms[0].Encode(), forms[1].Encode(); first != second || forms[0].Get("MaxResults") != "1000" {
		t.Errorf("asked %s\nthen  %s", first, second)
	}
}

// The same tags are the same question and the same complaint.
func TestTagsAreInOrder(t *testing.T) {
	var form url.Values
	finder := answering(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.Form
		w.WriteHeader(http.StatusTeapot)
	})
	for range 5 {
		fails(t.Context(), t, finder, tagged("d", "4", "a", "1", "c", "3", "b", "2"), "with tags a=1,b=2,c=3,d=4:")
		for i, want := range []string{"instance-state-name", "tag:a", "tag:b", "tag:c", "tag:d"} {
			if got := form.Get(fmt.Sprintf("Filter.%d.Name", i+1)); got != want {
				t.Errorf("filter %d is %q, want %q", i, got, want)
			}
		}
	}
}

func TestWildcardsInATagAreNone(t *testing.T) {
	var form url.Values
	finder := answering(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.Form
		_, _ = io.WriteString(w, "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>")
	})
	if _, err := finder.Nodes(t.Context(), tagged("app", `w*b?\`)); err != nil {
		t.Fatal(err)
	}
	if got := form.Get("Filter.2.Value.1"); got != `w\*b\?\\` {
		t.Errorf("sent %q", got)
	}
}
