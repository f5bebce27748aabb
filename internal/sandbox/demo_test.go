package sandbox

import (
	"os"
	"testing"
)

func TestDemoDev(t *testing.T) {
	if os.Getenv("DEVDEMO") == "" {
		t.Skip()
	}
	check(t, Demo(t.Context(), DemoOptions{Executable: "/tmp/sbx/windlass", Keep: os.Getenv("DEVDEMO") == "keep"}, os.Stdout))
}
