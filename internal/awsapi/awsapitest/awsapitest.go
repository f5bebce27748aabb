// Package awsapitest is what tests and measurements of the AWS adapters share: settings that take nothing from the environment, for an
// endpoint on loopback or for answers made up by the test. Nothing else may import it.
package awsapitest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	sandbox "windlass/internal/sandbox/aws"
)

// Region is where everything is.
const Region = "eu-central-1"

// Config is for an endpoint. It does not retry: tests that want retries set a Retryer.
func Config(url string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// Answered is Config with a handler in place of the network, so that time can be virtual.
func Answered(handler http.Handler) aws.Config {
	cfg := Config("http://aws.invalid")
	cfg.HTTPClient = inMemory{handler}
	return cfg
}

type inMemory struct{ http.Handler }

func (m inMemory) Do(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	m.ServeHTTP(recorder, r)
	return recorder.Result(), r.Context().Err()
}

// Cloud is a sandbox that runs until the test ends and takes the time from a clock.
func Cloud(t *testing.T, now func() time.Time) *sandbox.Cloud {
	t.Helper()
	cloud := sandbox.New(sandbox.Config{Region: Region, Now: now})
	if err := cloud.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return cloud
}
