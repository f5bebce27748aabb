package aws

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

type ec2Answer struct {
	Reservations []reservation `xml:"reservationSet>item"`
	NextToken    string        `xml:"nextToken"`
	Code         string        `xml:"Errors>Error>Code"`
}

func (a ec2Answer) ids() []string {
	var ids []string
	for _, r := range a.Reservations {
		ids = append(ids, r.Instances[0].ID)
	}
	return ids
}

// describe calls DescribeInstances with the parameters given as name, value, name, value …
func (w *world) describe(parameters ...string) ec2Answer {
	w.t.Helper()
	form := url.Values{"Action": {"DescribeInstances"}, "Version": {"2016-11-15"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	request := must(http.NewRequest(http.MethodPost, w.URL(), strings.NewReader(form.Encode())))(w.t)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "any")
	response := must(w.client.Do(request))(w.t)
	defer response.Body.Close()
	var answer ec2Answer
	check(w.t, xml.NewDecoder(response.Body).Decode(&answer))
	return answer
}

func TestInstanceIsDescribed(t *testing.T) {
	w := newWorld(t)
	check(t, w.AddInstance(Instance{
		ID: "i-0123456789abcdef0", Zone: "eu-central-1a", PrivateAddress: "10.0.0.1", PublicAddress: "192.0.2.1",
		Tags: map[string]string{"app": "web", "Name": "web-1 <é>"}, Launched: time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC),
	}))
	got := fmt.Sprint(w.describe().Reservations[0].Instances[0])
	want := "{i-0123456789abcdef0 16 running 10.0.0.1 192.0.2.1 2024-02-03T04:05:06.000Z eu-central-1a [{Name web-1 <é>} {app web}]}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	check(t, w.SetInstanceState("i-0123456789abcdef0", Terminated))
	got = line(w.describe().Reservations[0].Instances[0])
	if strings.Contains(got, "10.0.0.1") || !strings.Contains(got, "48 terminated") {
		t.Errorf("terminated, it is %s", got)
	}
}

func TestInstancesAreFiltered(t *testing.T) {
	w := newWorld(t)
	for id, tags := range map[string]map[string]string{
		"i-00000001": {"app": "web", "env": "live"},
		"i-00000002": {"app": "web", "env": "staging"},
		"i-00000003": {"app": "db", "env": "live"},
		"i-00000004": {"app": "web", "env": "live", "old": ""},
		"i-00000005": nil,
	} {
		check(t, w.AddInstance(Instance{ID: id, Tags: tags}))
	}
	check(t, w.SetInstanceState("i-00000004", Stopping))
	for filter, want := range map[string]string{
		"tag:app=web":                         "i-00000001 i-00000002 i-00000004",
		"tag:app=web tag:env=live":            "i-00000001 i-00000004",
		"tag:app=web|db tag:env=live":         "i-00000001 i-00000003 i-00000004",
		"tag:env=l*":                          "i-00000001 i-00000003 i-00000004",
		"tag:app=?b":                          "i-00000003",
		"tag:app=.*":                          "",
		"tag:app=WEB":                         "",
		"tag:old=":                            "i-00000004",
		"tag-key=old":                         "i-00000004",
		"instance-state-name=pending|running": "i-00000001 i-00000002 i-00000003 i-00000005",
		"instance-id=i-00000003":              "i-00000003",
	} {
		var parameters []string
		for n, f := range strings.Fields(filter) {
			name, values, _ := strings.Cut(f, "=")
			parameters = append(parameters, fmt.Sprintf("Filter.%d.Name", n+1), name)
			for v, value := range strings.Split(values, "|") {
				parameters = append(parameters, fmt.Sprintf("Filter.%d.Value.%d", n+1, v+1), value)
			}
		}
		if got := strings.Join(w.describe(parameters...).ids(), " "); got != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
	if code := w.describe("Filter.1.Name", "colour", "Filter.1.Value.1", "red").Code; code != "InvalidParameterValue" {
		t.Errorf("an unknown filter gets %q", code)
	}
}

// G11: at most a thousand instances a page.
func TestInstancesPage(t *testing.T) {
	w := newWorld(t)
	for i := range 2001 {
		check(t, w.AddInstance(Instance{ID: fmt.Sprintf("i-%08x", i)}))
	}
	var sizes []int
	seen := map[string]bool{}
	for token := ""; ; {
		answer := w.describe("NextToken", token)
		sizes = append(sizes, len(answer.Reservations))
		for _, id := range answer.ids() {
			seen[id] = true
		}
		if token = answer.NextToken; token == "" {
			break
		}
	}
	equal(t, "sizes", sizes, []int{1000, 1000, 1})
	if len(seen) != 2001 {
		t.Errorf("%d different instances, want 2001", len(seen))
	}
	if got := len(w.describe("MaxResults", "5").Reservations); got != 5 {
		t.Errorf("a page of 5 has %d", got)
	}
}

// G14: a vanished instance is told apart from every other failure.
func TestInstancesThatCannotBeDescribed(t *testing.T) {
	w := newWorld(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001"}))
	check(t, w.AddInstance(Instance{ID: "i-00000002"}))
	check(t, w.RemoveInstance("i-00000002"))
	for code, parameters := range map[string][]string{
		"InvalidInstanceID.NotFound":  {"InstanceId.1", "i-00000001", "InstanceId.2", "i-00000002"},
		"InvalidInstanceID.Malformed": {"InstanceId.1", "web-1"},
		"InvalidParameterCombination": {"InstanceId.1", "i-00000001", "MaxResults", "10"},
		"InvalidParameterValue":       {"MaxResults", "1001"},
		"":                            {"InstanceId.1", "i-00000001"},
	} {
		if got := w.describe(parameters...).Code; got != code {
			t.Errorf("%v: got %q, want %q", parameters, got, code)
		}
	}
	equal(t, "all", w.describe().ids(), []string{"i-00000001"})
	if code := w.describe("NextToken", "?").Code; code != "InvalidParameterValue" {
		t.Errorf("a broken token gets %q", code)
	}
}

func TestInstancesAreChangedWithCare(t *testing.T) {
	w := newWorld(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001"}))
	for what, err := range map[string]error{
		"adding twice":      w.AddInstance(Instance{ID: "i-00000001"}),
		"adding in a mess":  w.AddInstance(Instance{ID: "i-00000002", State: "messy"}),
		"unknown state":     w.SetInstanceState("i-00000001", "messy"),
		"unknown instance":  w.SetInstanceState("i-00000009", Running),
		"removing the void": w.RemoveInstance("i-00000009"),
	} {
		if err == nil {
			t.Errorf("%s succeeded", what)
		}
	}
}
