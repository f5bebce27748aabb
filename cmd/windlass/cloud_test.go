package main

import (
	"strings"
	"testing"

	"windlass/desired"
	"windlass/internal/sandbox/aws"
)

// TestSettingsThatArePutRightNeedNoRestart begins without any AWS settings.
func TestSettingsThatArePutRightNeedNoRestart(t *testing.T) {
	sandbox := aws.New(aws.Config{})
	if err := sandbox.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sandbox.Close() })
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())

	c := &cloud{}
	static := desired.NodeSet{Static: []desired.StaticNode{{Name: "web-1", Address: "10.0.0.1"}}}
	if found, err := c.Nodes(t.Context(), static); err != nil || len(found.Nodes) != 1 {
		t.Errorf("static nodes: %v, %v; they need no AWS", found, err)
	}
	tagged := desired.NodeSet{EC2: &desired.EC2Selector{Tags: map[string]string{"app": "web"}, Address: desired.PrivateAddress}}
	if _, err := c.Nodes(t.Context(), tagged); err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
	groups, err := c.Observe(t.Context(), []desired.LoadBalancer{{TargetGroup: "web"}}, nil)
	if err != nil || len(groups) != 1 || !strings.Contains(groups[0].Err, "set AWS_REGION") {
		t.Errorf("without a region: %v, %v", groups, err)
	}
	for _, setting := range sandbox.Environment() {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	if found, err := c.Nodes(t.Context(), tagged); err != nil || len(found.Nodes) != 0 {
		t.Errorf("with settings: %v, %v", found, err)
	}
}
