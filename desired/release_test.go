package desired_test

import (
	"testing"

	"windlass/desired"
)

func TestAReleaseIsFoundOnlyAsAWholeWord(t *testing.T) {
	for _, c := range []struct {
		text, answer string
		want         bool
	}{
		{"{release}", "v1.2", true},
		{"{release}", "v1.2\n", true},
		{"{release}", `{"version":"v1.2"}`, true},
		{"{release}", "version=v1.2;", true},
		{"{release}", "v1.2.1", false},
		{"{release}", "v1.2-rc1", false},
		{"{release}", "v1.2_1", false},
		{"{release}", "v1.2+build", false},
		{"{release}", "rev1.2", false},
		{"{release}", "v1.20", false},
		{"{release}", "v1.2.1 v1.2", true},
		{"{release}", "v1.2v1.2 v1.2v1.2", false},
		{"{release}", "v1x2", false},
		{"{release}", "", false},
		{"version {release}", "myversion v1.2", true},
		{"version {release}", "version v1.2.1", false},
		{"version {release} ok", "version v1.2 okay", true},
		{"web-{release}", "web-v1.2", true},
		{"web-{release}", "oldweb-v1.2", false},
		{"{release}.tar", "v1.2.tar", true},
		{"{release}.tar", "v1.2.tar.gz", false},
		{"{release}/{release}", "v1.2/v1.2", true},
		{"{release}/{release}", "v1.2/v1.2.1", false},
		{"{node} {release}", "web-1 v1.2", true},
		{"{node}", "web-12", true},
		{"ok", "looks okay", true},
		{"", "anything", true},
	} {
		if got := desired.Found(c.answer, c.text, "v1.2", "web-1"); got != c.want {
			t.Errorf("%q in %q: got %v", c.text, c.answer, got)
		}
	}
}

func TestExpandsOnlyOnce(t *testing.T) {
	if got := desired.Expand("{release} on {node}, {other}", "{node}", "web-1"); got != "{node} on web-1, {other}" {
		t.Errorf("got %q", got)
	}
}

func TestWhichChecksProveARelease(t *testing.T) {
	for name, c := range map[string]struct {
		check desired.Check
		want  bool
	}{
		"page":                 {desired.Check{HTTP: &desired.HTTPCheck{Body: "v{release}"}}, true},
		"page without":         {desired.Check{HTTP: &desired.HTTPCheck{Body: "ok"}}, false},
		"command":              {desired.Check{Command: &desired.CommandCheck{Run: "web --is {release}"}}, true},
		"command, environment": {desired.Check{Command: &desired.CommandCheck{Run: `test "$(web -v)" = "$WINDLASS_RELEASE"`}}, true},
		"command without":      {desired.Check{Command: &desired.CommandCheck{Run: "true"}}, false},
		"port":                 {desired.Check{TCP: &desired.TCPCheck{Port: 80}}, false},
	} {
		if got := c.check.NamesRelease(); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
