package desired

import (
	"fmt"
	"testing"
)

// What differs is named, in the same order each time, and nothing of what is in it.
func TestDifferences(t *testing.T) {
	t.Parallel()
	was := &Fleet{Release: "v1", Configure: Configure{
		Vars:     map[string]any{"workers": 4.0, "secret": "s3cr3t", "gone": true, "same": map[string]any{"a": 1.0}},
		Files:    []File{{To: "/etc/a", Mode: "0644", Content: []byte("s3cr3t")}, {To: "/etc/b", Mode: "644"}, {To: "/etc/c"}},
		Prepare:  []Step{{Name: "fetch", Run: "fetch"}},
		Activate: []Step{{Name: "stop", Run: "stop"}, {Name: "start", Run: "start"}},
	}}
	is := &Fleet{Release: "v2", Configure: Configure{
		Vars:     map[string]any{"workers": 5.0, "secret": "0ther", "new": 1.0, "same": map[string]any{"a": 1.0}},
		Files:    []File{{To: "/etc/a", Mode: "0644", Content: []byte("0ther")}, {To: "/etc/b", Mode: "0644"}, {To: "/etc/d"}},
		Prepare:  []Step{{Name: "fetch", Run: "fetch --fast"}, {Name: "unpack", Run: "unpack"}},
		Activate: []Step{{Name: "start", Run: "start"}, {Name: "stop", Run: "stop"}},
	}}
	want := "[release changed var gone removed var new added var secret changed var workers changed file /etc/a changed file /etc/c removed file /etc/d added " +
		"prepare step fetch changed prepare step unpack added activate step start moved]"
	if got := fmt.Sprint(Differences(was, is)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Differences(was, was); got != nil {
		t.Errorf("from itself: %v", got)
	}
	renamed := *was
	renamed.Configure.Activate = []Step{{Name: "halt", Run: "stop"}, {Name: "go", Run: "start"}}
	if got := Differences(was, &renamed); got != nil || was.Digest(1) != renamed.Digest(1) {
		t.Errorf("steps by other names: %v", got)
	}
}
