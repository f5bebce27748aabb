package forge_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/desired/source"
	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
)

const otherCommit = "9876543210987654321098765432109876543210"

var kinds = []forge.Kind{forge.GitHub, forge.GitLab, forge.Gitea}

// status is a report of the kind that every forge has.
func status(name, state string) forgetest.Report {
	return forgetest.Report{Kind: source.Status, Commit: commit, Name: name, State: state}
}

func run(name, app, state string) forgetest.Report {
	return forgetest.Report{Kind: source.CheckRun, Commit: commit, Name: name, App: app, State: state}
}

func pipeline(state string, warnings bool) forgetest.Report {
	return forgetest.Report{Kind: source.Pipeline, Commit: commit, State: state, Warnings: warnings}
}

func checks(t *testing.T, c *forge.Client, names ...string) []source.Check {
	t.Helper()
	got, err := c.Checks(t.Context(), commit, names)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Each word of each kind comes to one thing, one that nobody knows to nothing, and only "success" is green.
func TestWordsOfChecks(t *testing.T) {
	t.Parallel()
	type words map[source.CheckState]string
	statuses := func(state string) forgetest.Report { return status("ci", state) }
	for name, c := range map[string]struct {
		kind   forge.Kind
		report func(state string) forgetest.Report
		words  words
	}{
		"GitHub's statuses": {forge.GitHub, statuses, words{
			source.CheckGreen: "success", source.CheckPending: "pending", source.CheckRed: "failure error", source.CheckUnknown: "Success neutral skipped x",
		}},
		"GitHub's runs": {forge.GitHub, func(state string) forgetest.Report { return run("ci", "github-actions", state) }, words{
			source.CheckGreen: "success", source.CheckNeutral: "neutral", source.CheckPending: "queued in_progress waiting requested pending",
			source.CheckRed: "failure cancelled timed_out action_required skipped stale startup_failure", source.CheckUnknown: "SUCCESS passed x",
		}},
		"GitLab's statuses": {forge.GitLab, statuses, words{
			source.CheckGreen:   "success",
			source.CheckPending: "created waiting_for_resource waiting_for_callback preparing pending running manual scheduled canceling",
			source.CheckRed:     "failed canceled skipped", source.CheckUnknown: "passed x",
		}},
		"Gitea's statuses": {forge.Gitea, statuses, words{
			source.CheckGreen: "success", source.CheckPending: "pending", source.CheckRed: "failure error warning skipped", source.CheckUnknown: "neutral x",
		}},
	} {
		for state, all := range c.words {
			for word := range strings.FieldsSeq(all) {
				f := forgetest.New(t, c.kind)
				f.Report(c.report(word))
				got := checks(t, client(t, f, forgetest.Token), "ci")
				if len(got) != 1 || got[0].State != state || got[0].Says != word {
					t.Errorf("%s: %s: %+v, want state %d", name, word, got, state)
				}
			}
		}
	}
}

// Of what is reported the newest of each kind, name and app counts, of the names that are asked for and of the commit alone.
func TestNewestReports(t *testing.T) {
	t.Parallel()
	at := func(r forgetest.Report, id int64) forgetest.Report { r.ID = id; return r }
	of := func(r forgetest.Report, commit string) forgetest.Report { r.Commit = commit; return r }
	green := func(kind source.CheckKind, name, app string) source.Check {
		return source.Check{Kind: kind, Name: name, App: app, State: source.CheckGreen, Says: "success"}
	}
	red := func(kind source.CheckKind, name, app, says string) source.Check {
		return source.Check{Kind: kind, Name: name, App: app, State: source.CheckRed, Says: says}
	}
	pending := func(kind source.CheckKind, name, app, says string) source.Check {
		return source.Check{Kind: kind, Name: name, App: app, State: source.CheckPending, Says: says}
	}
	for name, c := range map[string]struct {
		kinds   []forge.Kind // none: all
		reports []forgetest.Report
		names   []string
		want    []source.Check
	}{
		"nothing":        {names: []string{"ci"}},
		"other commits":  {reports: []forgetest.Report{of(status("ci", "success"), otherCommit)}, names: []string{"ci"}},
		"other names":    {reports: []forgetest.Report{status("ci/lint", "success"), status("xci", "success")}, names: []string{"ci"}},
		"no name at all": {reports: []forgetest.Report{status("ci", "success")}},
		"set again": {
			reports: []forgetest.Report{status("ci", "success"), status("ci", "pending")}, names: []string{"ci", "ci"},
			want: []source.Check{pending(source.Status, "ci", "", "pending")},
		},
		"an older one that is told of later": {
			reports: []forgetest.Report{at(status("ci", "pending"), 9), at(status("ci", "success"), 8)}, names: []string{"ci"},
			want: []source.Check{pending(source.Status, "ci", "", "pending")},
		},
		"two names": {
			reports: []forgetest.Report{status("ci/test", "success"), status("ci/lint", "success")}, names: []string{"ci/test", "ci/lint", "ci/none"},
			want: []source.Check{green(source.Status, "ci/lint", ""), green(source.Status, "ci/test", "")},
		},
		"a name of a matrix": {
			reports: []forgetest.Report{status("test (ubuntu, 1.26) & co/é?", "success")}, names: []string{"test (ubuntu, 1.26) & co/é?"},
			want: []source.Check{green(source.Status, "test (ubuntu, 1.26) & co/é?", "")},
		},
		"capital letters": { // are the same context at GitHub (its REST reference), and elsewhere another
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{status("ci", "success"), status("CI", "failure")}, names: []string{"ci"},
			want: []source.Check{red(source.Status, "ci", "", "failure")},
		},
		"capital letters elsewhere": {
			kinds: []forge.Kind{forge.GitLab, forge.Gitea}, reports: []forgetest.Report{status("ci", "success"), status("CI", "failure")}, names: []string{"ci"},
			want: []source.Check{green(source.Status, "ci", "")},
		},
		"capital letters of a run": { // are another
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{run("ci", "a", "success"), run("CI", "a", "failure")}, names: []string{"ci"},
			want: []source.Check{green(source.CheckRun, "ci", "a")},
		},
		"a status and a run": {
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{status("ci", "success"), run("ci", "a", "failure")}, names: []string{"ci"},
			want: []source.Check{red(source.CheckRun, "ci", "a", "failure"), green(source.Status, "ci", "")},
		},
		"another app": {
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{run("ci", "github-actions", "failure"), run("ci", "imposter", "success")}, names: []string{"ci"},
			want: []source.Check{red(source.CheckRun, "ci", "github-actions", "failure"), green(source.CheckRun, "ci", "imposter")},
		},
		"a run without its app": {
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{run("ci", "", "success")}, names: []string{"ci"},
			want: []source.Check{green(source.CheckRun, "ci", "")},
		},
		"a run that began again": { // which GitHub does not count among the latest
			kinds: []forge.Kind{forge.GitHub}, reports: []forgetest.Report{run("ci", "a", "success"), run("ci", "a", "queued")}, names: []string{"ci"},
			want: []source.Check{pending(source.CheckRun, "ci", "a", "queued")},
		},
		"a pipeline": {
			kinds: []forge.Kind{forge.GitLab}, reports: []forgetest.Report{pipeline("failed", false), pipeline("success", false)}, names: []string{"pipeline"},
			want: []source.Check{green(source.Pipeline, "pipeline", "")},
		},
		"a pipeline that began again": {
			kinds: []forge.Kind{forge.GitLab}, reports: []forgetest.Report{pipeline("success", false), pipeline("running", false)}, names: []string{"pipeline"},
			want: []source.Check{pending(source.Pipeline, "pipeline", "", "running")},
		},
		"a pipeline with a job that was allowed to fail": {
			kinds: []forge.Kind{forge.GitLab}, reports: []forgetest.Report{pipeline("success", true)}, names: []string{"pipeline"},
			want: []source.Check{{Kind: source.Pipeline, Name: "pipeline", State: source.CheckNeutral, Says: "success-with-warnings"}},
		},
		"a job that is called pipeline": {
			kinds: []forge.Kind{forge.GitLab}, reports: []forgetest.Report{status("pipeline", "success"), pipeline("failed", false)}, names: []string{"pipeline"},
			want: []source.Check{red(source.Pipeline, "pipeline", "", "failed"), green(source.Status, "pipeline", "")},
		},
		"a pipeline that nobody asks for": {
			kinds: []forge.Kind{forge.GitLab}, reports: []forgetest.Report{pipeline("success", false)}, names: []string{"ci"},
		},
	} {
		if c.kinds == nil {
			c.kinds = kinds
		}
		for _, kind := range c.kinds {
			f := forgetest.New(t, kind)
			f.Report(c.reports...)
			if diff := cmp.Diff(c.want, checks(t, client(t, f, forgetest.Token), c.names...)); diff != "" {
				t.Errorf("%s: %s:\n%s", kind, name, diff)
			}
			if c.names == nil && len(f.Asked()) > 0 {
				t.Errorf("%s: %s: it asked for %v", kind, name, f.Asked())
			}
		}
	}
}

// The newest report is found wherever it is in a list of many pages, and however many there are of other names.
func TestManyReports(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, place := range []int64{1, 130, 400} {
			f := forgetest.New(t, kind)
			for n := range 399 {
				f.Report(forgetest.Report{Kind: source.Status, Commit: commit, Name: fmt.Sprintf("ci %d", n), State: "success", ID: int64(n + 1)})
			}
			r := status("ci/test", "success")
			r.ID = place + 1000
			f.Report(r)
			if got := checks(t, client(t, f, forgetest.Token), "ci/test"); len(got) != 1 || got[0].State != source.CheckGreen {
				t.Errorf("%s: at %d: %+v", kind, place, got)
			}
		}
	}
	f := forgetest.New(t, forge.GitHub)
	for n := range 10_000 {
		f.Report(run(fmt.Sprintf("shard %d", n), "a", "success"))
	}
	f.Report(run("ci", "a", "success"))
	for range 250 {
		f.Report(run("again", "a", "failure"))
	}
	f.Report(run("again", "a", "success"))
	if got := checks(t, client(t, f, forgetest.Token), "ci", "again"); len(got) != 2 || got[0].State != source.CheckGreen || got[1].State != source.CheckGreen {
		t.Errorf("among 10,000 runs: %+v", got)
	}
	if n := len(f.Asked()); n != 5 {
		t.Errorf("it took %d questions", n)
	}
}

// Where a forge finds runs of other names as well, they do not count.
func TestRunsOfOtherNames(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	one := func(id int, name, end string) string {
		return fmt.Sprintf(`{"id":%d,"name":%q,"head_sha":%q,"status":"completed","conclusion":%q,"app":{"slug":"a"}}`, id, name, commit, end)
	}
	f.Say(
		forgetest.Answer{Status: 200, Body: `{"sha":"` + commit + `","total_count":0,"statuses":[]}`},
		forgetest.Answer{Status: 200, Body: `{"total_count":3,"check_runs":[` + one(1, "ci", "failure") + "," + one(2, "CI", "success") + "," + one(3, "ci ", "success") + `]}`},
	)
	if got := checks(t, client(t, f, forgetest.Token), "ci"); len(got) != 1 || got[0].State != source.CheckRed {
		t.Errorf("%+v", got)
	}
}

// That there are too many is known from the first page of them.
func TestTooManyRunsAreNotRead(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	for range 1001 {
		f.Report(run("ci", "a", "success"))
	}
	if _, err := client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci"}); err == nil || len(f.Asked()) != 2 {
		t.Errorf("%v, after %d questions", err, len(f.Asked()))
	}
}

// A Gitea shows fewer than it is asked for, and an end is not taken for one where its pages are short.
func TestShortPages(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.Gitea)
	f.Page = 7
	f.Report(status("ci", "failure"))
	for range 30 {
		f.Report(status("other", "success"))
	}
	if got := checks(t, client(t, f, forgetest.Token), "ci"); len(got) != 1 || got[0].State != source.CheckRed {
		t.Errorf("%+v", got)
	}
}

// What a forge answers that cannot be, or not be read to its end, is an error, and never a green check.
func TestWhatCannotBeTold(t *testing.T) {
	t.Parallel()
	said := func(body string) func(*forgetest.Forge) {
		return func(f *forgetest.Forge) { f.Say(forgetest.Answer{Status: http.StatusOK, Body: body}) }
	}
	both := []forgetest.Report{status("ci", "success"), run("ci", "a", "success"), pipeline("success", false)}
	green := func(f *forgetest.Forge) { f.Report(both...) }
	many := func(n int) func(*forgetest.Forge) {
		return func(f *forgetest.Forge) {
			for range n {
				f.Report(run("ci", "a", "success"))
			}
		}
	}
	for name, c := range map[string]struct {
		kinds []forge.Kind // none: all
		does  []func(*forgetest.Forge)
		says  string
	}{
		"pages without an end": {does: []func(*forgetest.Forge){green, (*forgetest.Forge).Endless}, says: "more than 1000 of them, of which the newest cannot be told"},
		"short pages without an end": {
			does: []func(*forgetest.Forge){green, func(f *forgetest.Forge) { f.Kind, f.Page = forge.GitLab, 1 }, (*forgetest.Forge).Endless},
			says: "more than 25 pages of them", kinds: []forge.Kind{forge.GitLab},
		},
		"10,000 runs of one name": {does: []func(*forgetest.Forge){many(10_000)}, kinds: []forge.Kind{forge.GitHub}, says: "has more than 1000 of them"},
		"a part":                  {does: []func(*forgetest.Forge){green, (*forgetest.Forge).Short}, says: "says that it has 2 of them, and shows 1"},
		"another commit": {does: []func(*forgetest.Forge){func(f *forgetest.Forge) {
			f.Report(forgetest.Report{Kind: source.Status, Commit: otherCommit, Name: "ci", State: "success"})
			f.Lie(otherCommit)
		}}, says: "answers about commit " + otherCommit + " instead"},
		"another commit's run": {does: []func(*forgetest.Forge){
			said(`{"sha":"` + commit + `","total_count":0,"statuses":[]}`),
			said(`{"total_count":1,"check_runs":[{"id":1,"name":"ci","head_sha":"` + otherCommit + `","status":"completed","conclusion":"success"}]}`),
		}, kinds: []forge.Kind{forge.GitHub}, says: "answers about commit " + otherCommit + " instead"},
		"a run of nobody's": {does: []func(*forgetest.Forge){
			said(`{"sha":"` + commit + `","total_count":0,"statuses":[]}`), said(`{"total_count":1,"check_runs":[{"id":1,"name":"ci","status":"completed","conclusion":"success"}]}`),
		}, kinds: []forge.Kind{forge.GitHub}, says: "answers about commit  instead"},
		"a status without a number": {does: []func(*forgetest.Forge){said(`{"sha":"` + commit + `","total_count":1,"statuses":[{"context":"ci","state":"success"}]}`)},
			kinds: []forge.Kind{forge.GitHub}, says: "is no github: correct api"},
		"no runs at all": {does: []func(*forgetest.Forge){said(`{"sha":"` + commit + `","total_count":0,"statuses":[]}`), said(`{"total_count":0}`)},
			kinds: []forge.Kind{forge.GitHub}, says: "is no github: correct api"},
		"no list of statuses": {does: []func(*forgetest.Forge){said(`{"sha":"` + commit + `","total_count":0}`)},
			kinds: []forge.Kind{forge.GitHub}, says: "is no github: correct api"},
		"null":         {does: []func(*forgetest.Forge){said("null")}, says: ": correct api"},
		"nothing":      {does: []func(*forgetest.Forge){said("")}, says: ": correct api"},
		"a login page": {does: []func(*forgetest.Forge){said("<html>")}, says: ": correct api"},
		"other types":  {does: []func(*forgetest.Forge){said(`{"sha":7}`)}, says: ": correct api"},
		"unchanged, of what was not read": {
			does: []func(*forgetest.Forge){func(f *forgetest.Forge) { f.Say(forgetest.Answer{Status: http.StatusNotModified}) }}, says: "304 Not Modified",
		},
		"a pipeline of another commit": {does: []func(*forgetest.Forge){said("[]"), said("[]"), said(`[{"id":1,"sha":"` + otherCommit + `","status":"success"}]`)},
			kinds: []forge.Kind{forge.GitLab}, says: "answers about commit " + otherCommit + " instead"},
		"a pipeline that is another when it is looked at": {
			does:  []func(*forgetest.Forge){said("[]"), said("[]"), said(`[{"id":1,"sha":"` + commit + `","status":"success"}]`), said(`{"id":1,"sha":"` + otherCommit + `","status":"success"}`)},
			kinds: []forge.Kind{forge.GitLab}, says: "answers about commit " + otherCommit + " instead",
		},
		"a hostile commit": {does: []func(*forgetest.Forge){said(`{"sha":"x\u001b[2J\n` + strings.Repeat("é", 1000) + `","total_count":0,"statuses":[]}`)},
			kinds: []forge.Kind{forge.GitHub}, says: "answers about commit x"},
	} {
		if c.kinds == nil {
			c.kinds = kinds
		}
		for _, kind := range c.kinds {
			f := forgetest.New(t, kind)
			for _, do := range c.does {
				do(f)
			}
			got, err := client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci", "pipeline"})
			if r := refusal(t, err); !strings.Contains(r.Says, c.says) || !strings.Contains(r.Says, "cannot read the checks of commit 0123456: ") || len(r.Says) > 400 || got != nil {
				t.Errorf("%s: %s: %v, %+v", kind, name, got, r)
			}
		}
	}
}

// A pipeline that began again between two questions is pending, and one whose warnings cannot be told is nothing.
func TestPipelinesThatChange(t *testing.T) {
	t.Parallel()
	for second, want := range map[string]source.CheckState{
		`{"id":1,"sha":"` + commit + `","status":"running","detailed_status":{"group":"running"}}`: source.CheckPending,
		`{"id":1,"sha":"` + commit + `","status":"success","detailed_status":{"group":"x"}}`:       source.CheckUnknown,
		`{"id":1,"sha":"` + commit + `","status":"success"}`:                                       source.CheckUnknown,
	} {
		f := forgetest.New(t, forge.GitLab)
		f.Say(
			forgetest.Answer{Status: 200, Body: "[]"},
			forgetest.Answer{Status: 200, Body: `[{"id":1,"sha":"` + commit + `","status":"success"}]`},
			forgetest.Answer{Status: 200, Body: second},
		)
		if got := checks(t, client(t, f, forgetest.Token), "pipeline"); len(got) != 1 || got[0].State != want {
			t.Errorf("%s: %+v", second, got)
		}
	}
}

// Hostile text of a report is fit to be shown, and its page is one or none.
func TestHostileReports(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"https://ci.example/1?a=b#c":                       "https://ci.example/1?a=b#c",
		"http://10.0.0.1:8080/job":                         "http://10.0.0.1:8080/job",
		"javascript:alert(1)":                              "",
		"/relative":                                        "",
		"https://user:secret@ci.example/":                  "",
		"https://ci.example/" + strings.Repeat("x", 1<<10): "",
		"https://ci.example/\x1b[2J":                       "",
	} {
		f := forgetest.New(t, forge.GitHub)
		f.Report(forgetest.Report{Kind: source.Status, Commit: commit, Name: "ci", State: "x\x1b[2J\n" + strings.Repeat("é", 1000), Page: page})
		got := checks(t, client(t, f, forgetest.Token), "ci")
		if len(got) != 1 || got[0].Page != want || got[0].State != source.CheckUnknown || strings.ContainsAny(got[0].Says, "\x1b\n") || len([]rune(got[0].Says)) > 60 {
			t.Errorf("%s: %+v", page, got)
		}
	}
	c := client(t, forgetest.New(t, forge.GitHub), forgetest.Token)
	for _, bad := range []string{"", "main", commit[:39], commit + "/../x", strings.ToUpper(strings.Repeat("a", 40)), "\x1b[2J\n" + strings.Repeat("é", 1000)} {
		if got, err := c.Checks(t.Context(), bad, []string{"ci"}); err == nil || got != nil || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 300 {
			t.Errorf("commit %q: %v, %v", bad, got, err)
		}
	}
}

// While nothing changes, asking again costs nothing of the limit: neither where there is nothing yet nor where there is something.
func TestAskingAgainCostsNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []forge.Kind{forge.GitHub, forge.GitLab} {
		f := forgetest.New(t, kind)
		c := client(t, f, forgetest.Token)
		if got := checks(t, c, "ci"); len(got) != 0 {
			t.Errorf("%s: %+v before there is anything", kind, got)
		}
		f.Report(status("ci", "pending"))
		first := checks(t, c, "ci")
		f.Limit(0)
		before := len(f.Asked())
		for range 3 {
			if diff := cmp.Diff(first, checks(t, c, "ci")); diff != "" || len(first) != 1 {
				t.Errorf("%s: asked again it has\n%s", kind, diff)
			}
		}
		if asked, unchanged := len(f.Asked())-before, f.Unchanged(); asked == 0 || unchanged < asked {
			t.Errorf("%s: of %d questions %d cost nothing", kind, asked, unchanged)
		}
		f.Report(status("ci", "success"))
		if _, err := c.Checks(t.Context(), commit, []string{"ci"}); !refusal(t, err).Busy {
			t.Errorf("%s: with nothing left: %v", kind, err)
		}
		f.Limit(-1)
		if got := checks(t, c, "ci"); len(got) != 1 || got[0].State != source.CheckGreen {
			t.Errorf("%s: what is new is %+v", kind, got)
		}
	}
}

// Two who ask for other names by the same list have what is theirs, also where it is kept.
func TestNamesOfOneList(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	f.Report(status("ci/test", "success"), status("ci/lint", "failure"))
	c := client(t, f, forgetest.Token)
	for range 2 {
		if got := checks(t, c, "ci/test"); len(got) != 1 || got[0].Name != "ci/test" || got[0].State != source.CheckGreen {
			t.Errorf("%+v", got)
		}
		if got := checks(t, c, "ci/lint"); len(got) != 1 || got[0].Name != "ci/lint" || got[0].State != source.CheckRed {
			t.Errorf("%+v", got)
		}
	}
	if f.Unchanged() == 0 {
		t.Error("nothing was kept")
	}
}

// What is kept is bounded: of many commits the newest alone, and nothing that is huge.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	c := client(t, f, forgetest.Token)
	ask := func(n int) {
		if _, err := c.Checks(t.Context(), fmt.Sprintf("%040x", n), []string{"ci"}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 200 {
		ask(n)
	}
	ask(199)
	if f.Unchanged() != 2 {
		t.Errorf("of the newest %d answers were kept", f.Unchanged())
	}
	ask(0)
	if f.Unchanged() != 2 {
		t.Error("the oldest was kept")
	}
	for n := range 100 {
		f.Report(forgetest.Report{Kind: source.Status, Commit: commit, Name: fmt.Sprint(strings.Repeat("x", 20_000), n), State: "success"})
	}
	for range 2 {
		if got := checks(t, c, "ci"); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	}
	if f.Unchanged() != 3 { // the list of check runs
		t.Errorf("of a list of 2 MB %d was kept", f.Unchanged())
	}
}

// One client may be asked by several at once.
func TestChecksSideBySide(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	f.Report(status("ci", "success"))
	c := client(t, f, forgetest.Token)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 4 {
				if got, err := c.Checks(t.Context(), commit, []string{"ci"}); err != nil || len(got) != 1 {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

// Why checks cannot be read is told apart: who has to do what, and when it is of use to ask again.
func TestRefusedChecks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer       forgetest.Answer
		says         string
		busy, rights bool
		wait         time.Duration
	}{
		"down":           {answer: forgetest.Answer{Status: 503, Body: "<html>"}, says: "answers 503 Service Unavailable", busy: true},
		"too many":       {answer: forgetest.Answer{Status: 429, Header: map[string]string{"Retry-After": "30"}}, says: "429", busy: true, wait: 30 * time.Second},
		"secondary":      {answer: forgetest.Answer{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit."}`}, says: "secondary rate limit", busy: true, wait: time.Minute},
		"revoked":        {answer: forgetest.Answer{Status: 401, Body: `{"message":"Bad credentials"}`}, says: "401 Bad credentials; give a token that is valid in ", rights: true},
		"no such right":  {answer: forgetest.Answer{Status: 403, Header: map[string]string{"X-Accepted-GitHub-Permissions": "checks=read"}, Body: `{"message":"Resource not accessible by personal access token"}`}, says: "may do that there (checks=read)", rights: true},
		"not to be seen": {answer: forgetest.Answer{Status: 404, Body: `{"message":"Not Found"}`}, says: "may do that there, and that the repository has the commit: the answer is the same", rights: true},
		"no such commit": {answer: forgetest.Answer{Status: 422, Body: `{"message":"No commit found for SHA: 0123"}`}, says: "422 No commit found for SHA"},
		"sent on":        {answer: forgetest.Answer{Status: 302, Header: map[string]string{"Location": "https://elsewhere.example/"}}, says: "sends on to another place", rights: true},
	} {
		for _, kind := range kinds {
			f := forgetest.New(t, kind)
			f.Say(c.answer)
			_, err := client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci"})
			if r := refusal(t, err); !strings.Contains(r.Says, c.says) || r.Busy != c.busy || r.Rights != c.rights || r.Wait != c.wait || r.Status != c.answer.Status {
				t.Errorf("%s: %s: %+v", kind, name, r)
			}
			if n := len(f.Asked()); n != 1 {
				t.Errorf("%s: %s: it asked %d times", kind, name, n)
			}
		}
	}
	f := forgetest.New(t, forge.GitHub)
	f.Say(
		forgetest.Answer{Status: 200, Body: `{"sha":"` + commit + `","total_count":0,"statuses":[]}`},
		forgetest.Answer{Status: 403, Body: `{"message":"Resource not accessible by personal access token"}`},
	)
	_, err := client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci"})
	if r := refusal(t, err); !r.Rights || !strings.HasSuffix(r.Says, ": a fine-grained one cannot read check runs, give a classic one with scope repo or that of a GitHub App") {
		t.Errorf("a fine-grained token: %+v", r)
	}
	f.Limit(1)
	_, err = client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci"})
	if r := refusal(t, err); !r.Busy || r.Wait < 19*time.Minute || r.Wait > 20*time.Minute {
		t.Errorf("until the limit is set anew: %+v", r)
	}
	for _, kind := range kinds {
		f := forgetest.New(t, kind)
		_, err := client(t, f, forgetest.Weak).Checks(t.Context(), commit, []string{"ci"})
		if r := refusal(t, err); !r.Rights || !strings.Contains(r.Says, "check that the token of ") {
			t.Errorf("%s: a token without the right: %+v", kind, r)
		}
		f.Down(&forgetest.Answer{})
		if _, err := client(t, f, forgetest.Token).Checks(t.Context(), commit, []string{"ci"}); err == nil || !strings.Contains(err.Error(), "cannot read the checks of commit 0123456: cannot reach ") {
			t.Errorf("%s: a lost connection: %v", kind, err)
		}
	}
}

// A repository that was renamed is found where the forge sends on to, and the token goes to no other host.
func TestRedirectedChecks(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	f.Report(status("ci", "success"))
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	before := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch rest, moved := strings.CutPrefix(r.URL.Path, "/repos/ops/old/"); {
		case moved:
			http.Redirect(w, r, "/repos/ops/deploy/"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, "/repos/ops/gone/"):
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		default:
			f.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(before.Close)
	f.URL = before.URL
	f.Path = "ops/old"
	c := client(t, f, forgetest.Token)
	f.Path = "ops/deploy"
	if got := checks(t, c, "ci"); len(got) != 1 || got[0].State != source.CheckGreen {
		t.Errorf("a renamed repository: %+v", got)
	}
	c.Place.Path = "ops/gone"
	if _, err := c.Checks(t.Context(), commit, []string{"ci"}); !refusal(t, err).Rights {
		t.Errorf("one at another host: %v", err)
	}
	if len(elsewhere) > 0 {
		t.Errorf("the other host was asked with %q", elsewhere)
	}
}

// An answer may be long, as check runs carry summaries, but not without bound.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	f := forgetest.New(t, forge.GitHub)
	f.Report(status("ci", "success"))
	long := func(n int) forgetest.Answer {
		return forgetest.Answer{Status: 200, Body: `{"total_count":0,"check_runs":[],"x":"` + strings.Repeat("x", n) + `"}`}
	}
	none := forgetest.Answer{Status: 200, Body: `{"sha":"` + commit + `","total_count":0,"statuses":[]}`}
	f.Say(none, long(8<<20), none, long(17<<20))
	c := client(t, f, forgetest.Token)
	checks(t, c, "ci")
	if _, err := c.Checks(t.Context(), commit, []string{"ci"}); err == nil || !strings.Contains(err.Error(), "its answer has more than 16777216 bytes") {
		t.Errorf("of a longer one: %v", err)
	}
}
