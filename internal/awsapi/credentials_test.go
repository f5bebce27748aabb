package awsapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"windlass/internal/awsapi"
)

// admitting is an endpoint that knows one access key at a time and rejects any other as AWS does.
type admitting struct{ key string }

func (a *admitting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+a.key+"/") {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, failure("InvalidClientTokenId"))
		return
	}
	_, _ = io.WriteString(w, "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult/></DescribeTargetGroupsResponse>")
}

// The SDK reads shared files once. Settings are the environment's, so that this test alone sets it.
func TestCredentialsThatComeOrChangeAreUsed(t *testing.T) {
	aws := &admitting{key: "AKIDONE"}
	server := httptest.NewServer(aws)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "credentials")
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": server.URL, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": file,
		"AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	client := v2.NewFromConfig(awsapi.Load(t.Context(), nil))
	call := func() error {
		_, err := client.DescribeTargetGroups(t.Context(), nil)
		return awsapi.Explain(err)
	}
	write := func(key string) {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = s\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := call(); err == nil || !strings.HasPrefix(err.Error(), "no AWS credentials for elasticloadbalancing:DescribeTargetGroups") {
		t.Errorf("without a file: %v", err)
	}
	write("AKIDONE")
	if err := call(); err != nil {
		t.Errorf("the file came: %v", err)
	}
	aws.key = "AKIDTWO"
	for range 2 {
		if err := call(); err == nil || !strings.HasPrefix(err.Error(), "AWS rejects the agent's credentials") {
			t.Errorf("the key is not valid any more: %v", err)
		}
	}
	write("AKIDTWO")
	if err := call(); err != nil {
		t.Errorf("the file has another key: %v", err)
	}
}
