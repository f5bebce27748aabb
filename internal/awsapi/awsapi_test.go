package awsapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
)

// answering is a load balancing client whose one answer is given, and what its requests were counted as.
func answering(t *testing.T, status int, body string) (client *v2.Client, counted *[]string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	counted = &[]string{}
	return v2.NewFromConfig(awsapi.Prepare(awsapitest.Config(server.URL), func(service, operation, code string) {
		*counted = append(*counted, service+" "+operation+" "+code)
	})), counted
}

func failure(code string) string {
	return "<ErrorResponse><Error><Code>" + code + "</Code><Message>a\nmessage</Message></Error></ErrorResponse>"
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		code   string
		want   string
	}{
		{400, failure("Throttling"), "Throttling", "AWS throttles elasticloadbalancing:DescribeTargetGroups (Throttling)"},
		{403, failure("AccessDenied"), "AccessDenied", "AWS denies elasticloadbalancing:DescribeTargetGroups (AccessDenied): allow it in the IAM policy of the agent's credentials"},
		{403, failure("InvalidClientTokenId"), "InvalidClientTokenId", "AWS rejects the agent's credentials at elasticloadbalancing:DescribeTargetGroups (InvalidClientTokenId): renew them"},
		{403, failure("OptInRequired"), "OptInRequired", "AWS answers elasticloadbalancing:DescribeTargetGroups with OptInRequired: a message"}, // no policy mends it
		{400, failure("ValidationError"), "ValidationError", "AWS answers elasticloadbalancing:DescribeTargetGroups with ValidationError: a message"},
		{400, failure("no label, this"), "other", "with no label, this: a message"},
		{502, "<html>Bad gateway</html>", "HTTP502", "the answer to elasticloadbalancing:DescribeTargetGroups is HTTP 502 without a word of AWS: does something else answer? check the proxy and AWS_ENDPOINT_URL"},
		{302, "", "HTTP302", "is HTTP 302 without a word of AWS"},
		{200, "<html>", "network", "cannot be read: does something else than AWS answer?"},
		{200, "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult/></DescribeTargetGroupsResponse>", "ok", ""},
	} {
		client, counted := answering(t, c.status, c.body)
		_, err := client.DescribeTargetGroups(t.Context(), nil)
		explained := awsapi.Explain(err)
		switch {
		case c.want == "" && explained != nil:
			t.Errorf("%d %s: %v", c.status, c.body, explained)
		case c.want != "" && (explained == nil || !strings.Contains(explained.Error(), c.want) || strings.Contains(explained.Error(), "\n")):
			t.Errorf("%d %s: %v\nwant %q", c.status, c.body, explained, c.want)
		case !errors.Is(explained, err) || awsapi.Code(explained) != awsapi.Code(err):
			t.Errorf("%v lost its cause", explained)
		}
		if want := "elasticloadbalancing DescribeTargetGroups " + c.code; len(*counted) != 1 || (*counted)[0] != want {
			t.Errorf("counted %q, want %q", *counted, want)
		}
	}
}

func TestOnlyARefusalSpeaksOfWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		body    string
		refused bool
	}{
		{400, failure("InvalidTarget"), true},
		{400, failure("ValidationError"), true},
		{400, failure("SomethingNew"), true},
		{400, failure("Throttling"), false},
		{400, failure("ExpiredToken"), false},
		{403, failure("AccessDenied"), false},
		{403, failure("OptInRequired"), false},
		{500, failure("InternalFailure"), false},
		{503, failure("ServiceUnavailable"), false},
		{400, "<html>Bad request</html>", false},
		{200, "<html>", false},
		{200, "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult/></DescribeTargetGroupsResponse>", false},
	} {
		client, _ := answering(t, c.status, c.body)
		if _, err := client.DescribeTargetGroups(t.Context(), nil); awsapi.Refused(err) != c.refused {
			t.Errorf("%d %s: refused %t, want %t", c.status, c.body, !c.refused, c.refused)
		}
	}
}

// answers stands for the network: what each request comes to.
type answers func(*http.Request) (*http.Response, error)

func (a answers) Do(r *http.Request) (*http.Response, error) { return a(r) }

// A call that its deadline ended between two tries says what the last one came to, which the SDK drops.
func TestACallThatIsGivenUpTellsItsLastAnswer(t *testing.T) {
	for want, answer := range map[string]answers{
		"is HTTP 503 without a word of AWS": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
		},
		"AWS throttles elasticloadbalancing:DescribeTargetGroups (Throttling)": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusBadRequest, Body: io.NopCloser(strings.NewReader(failure("Throttling")))}, nil
		},
		"cannot reach AWS for elasticloadbalancing:DescribeTargetGroups: check the network, the proxy and AWS_ENDPOINT_URL (connection reset by peer)": func(*http.Request) (*http.Response, error) {
			return nil, syscall.ECONNRESET
		},
		"no answer to elasticloadbalancing:DescribeTargetGroups in time": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"no answer to elasticloadbalancing:DescribeTargetGroups in time: check": func(r *http.Request) (*http.Response, error) { // it begins and stops
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.MultiReader(strings.NewReader(nothing), stops{r.Context()}))}, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := awsapitest.Config("http://aws.invalid")
			cfg.HTTPClient = answer
			cfg.Retryer = func() aws.Retryer { return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 1000 }) }
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := v2.NewFromConfig(awsapi.Prepare(cfg, nil)).DescribeTargetGroups(ctx, nil)
			if got := awsapi.Explain(err); got == nil || !strings.Contains(got.Error(), want) || !errors.Is(got, context.DeadlineExceeded) {
				t.Errorf("%v\nwant %q", got, want)
			}
		})
	}
}

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	if err := awsapi.Explain(io.ErrShortWrite); err != io.ErrShortWrite {
		t.Error(err)
	}
	if err := awsapi.Explain(nil); err != nil {
		t.Error(err)
	}
}

// An assumed role that is denied is no lack of permission for the call that needed it.
func TestCredentialsThatAreDeniedAreNoDeniedCall(t *testing.T) {
	t.Parallel()
	cfg := aws.Config{Region: "eu-central-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed to sts:AssumeRole"}
	})}
	_, err := v2.NewFromConfig(awsapi.Prepare(cfg, nil)).DescribeTargetGroups(t.Context(), nil)
	if got := awsapi.Explain(err); got == nil || !strings.HasPrefix(got.Error(), "no AWS credentials for") || !strings.Contains(got.Error(), "sts:AssumeRole") {
		t.Error(got)
	}
}

func TestNothingIsSentWithoutARegion(t *testing.T) {
	t.Parallel()
	sent := 0
	client := v2.NewFromConfig(awsapi.Prepare(aws.Config{}, func(string, string, string) { sent++ }))
	_, err := client.DescribeTargetGroups(t.Context(), nil)
	if got := awsapi.Explain(err); got == nil || !strings.HasPrefix(got.Error(), "no AWS region is set") || sent != 0 {
		t.Errorf("%v after %d requests", got, sent)
	}
}

// Settings are the environment's, so that this test alone sets it.
func TestLoadReportsBadSettingsAtTheFirstCall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[default]\nregion = eu-central-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_PROFILE", "typo")
	client := v2.NewFromConfig(awsapi.Load(t.Context(), nil))
	_, err := client.DescribeTargetGroups(t.Context(), nil)
	got := awsapi.Explain(err)
	for _, part := range []string{"the AWS settings cannot be read, correct them", "typo"} {
		if got == nil || !strings.Contains(got.Error(), part) {
			t.Errorf("%v\nlacks %q", got, part)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                    "plain",
		"a\r\nb\tc":                "a b c",
		"\x1b[31mred\u009b\u2028x": "[31mred x",
		strings.Repeat("é", 500):   strings.Repeat("é", 399) + "…",
	} {
		if got := awsapi.OneLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// stops is the rest of an answer that does not come.
type stops struct{ context.Context }

func (s stops) Read([]byte) (int, error) {
	<-s.Done()
	return 0, s.Err()
}

const nothing = "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult/></DescribeTargetGroupsResponse>"

// An ending is an answer's body that is whole but for how it ends.
type ending struct {
	io.Reader
	closing error
}

func (e ending) Close() error { return e.closing }

// ends answers with a whole document, after which reading fails with one error and closing with another, if there are any.
func ends(reading, closing error) answers {
	return func(*http.Request) (*http.Response, error) {
		body := ending{Reader: strings.NewReader(nothing), closing: closing}
		if reading != nil {
			body.Reader = io.MultiReader(body.Reader, iotest.ErrReader(reading)) // as when the server goes away right after its answer
		}
		return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
	}
}

// What the SDK says beside its errors would stand between the agent's own lines, unredacted and in no format of its own (law 22).
func TestTheSDKSaysNothingBesideItsErrors(t *testing.T) {
	t.Parallel()
	cfg := awsapitest.Config("http://aws.invalid")
	cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, values ...any) { t.Errorf(format, values...) })
	for _, c := range []struct {
		reading, closing error
		fails            bool
	}{{nil, nil, false}, {nil, net.ErrClosed, false}, {net.ErrClosed, net.ErrClosed, true}, {io.ErrUnexpectedEOF, nil, true}} {
		cfg.HTTPClient = ends(c.reading, c.closing)
		if _, err := v2.NewFromConfig(awsapi.Prepare(cfg, nil)).DescribeTargetGroups(t.Context(), nil); (err != nil) != c.fails {
			t.Errorf("an answer that ends with %v and %v: %v", c.reading, c.closing, err)
		}
	}
}

// The SDK reads an answer to its end before it looks at it: one that lost only its end is none, and another may be whole (law 1).
func TestAnAnswerThatBreaksOffIsAskedForAgain(t *testing.T) {
	for _, broken := range []error{net.ErrClosed, io.ErrUnexpectedEOF, syscall.ECONNRESET, errors.New("http2: stream closed")} {
		synctest.Test(t, func(t *testing.T) {
			call := func(breaks int) (asked int, err error) {
				cfg := awsapitest.Config("http://aws.invalid")
				cfg.Retryer = func() aws.Retryer { return retry.NewStandard() }
				cfg.HTTPClient = answers(func(r *http.Request) (*http.Response, error) {
					if asked++; asked <= breaks {
						return ends(broken, nil)(r)
					}
					return ends(nil, nil)(r)
				})
				_, err = v2.NewFromConfig(awsapi.Prepare(cfg, nil)).DescribeTargetGroups(t.Context(), nil)
				return asked, awsapi.Explain(err)
			}
			if asked, err := call(2); err != nil || asked != 3 {
				t.Errorf("%v: asked %d times, %v", broken, asked, err)
			}
			asked, err := call(3)
			want := "the connection to AWS broke off during the answer to elasticloadbalancing:DescribeTargetGroups: check the network and the proxy (" + broken.Error() + ")"
			if asked != 3 || err == nil || err.Error() != want || !errors.Is(err, broken) {
				t.Errorf("asked %d times: %v\nwant %s", asked, err, want)
			}
		})
	}
}

// net/http looks only after the last byte whether a request's body holds more than was announced, and closes the connection when that
// fails. The SDK may have closed the body by then: the answer has begun.
func TestAnAnswerIsReadWholeWhenTheRequestEndsLate(t *testing.T) {
	t.Parallel()
	cfg := awsapitest.Config("http://aws.invalid")
	cfg.HTTPClient = answers(func(r *http.Request) (*http.Response, error) {
		sent, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
		if err != nil || !strings.Contains(string(sent), "Action=DescribeTargetGroups") {
			t.Errorf("sent %q, %v", sent, err)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.MultiReader(
			strings.NewReader("<DescribeTargetGroupsResponse><DescribeTargetGroupsResult>"),
			lateEnd{r.Body},
			strings.NewReader("</DescribeTargetGroupsResult></DescribeTargetGroupsResponse>"),
		))}, nil
	})
	if _, err := v2.NewFromConfig(awsapi.Prepare(cfg, nil)).DescribeTargetGroups(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// A lateEnd is nothing, in the midst of an answer, that fails when the end of the request cannot be found as net/http does it.
type lateEnd struct{ request io.Reader }

func (l lateEnd) Read([]byte) (int, error) {
	if _, err := io.Copy(io.Discard, l.request); err != nil {
		return 0, net.ErrClosed
	}
	return 0, io.EOF
}
