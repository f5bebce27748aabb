package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-cmp/cmp"

	"windlass/desired"
)

func wantReleases(t *testing.T, state desired.State, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, releases(state)); diff != "" {
		t.Errorf("in force (-want +got):\n%s\nproblem: %s", diff, state.Problem)
	}
}

func wantProblem(t *testing.T, state desired.State, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(state.Problem, part) {
			t.Errorf("problem %q does not say %q", state.Problem, part)
		}
	}
	if len(parts) == 0 && state.Problem != "" {
		t.Errorf("unexpected problem: %s", state.Problem)
	}
}

func wantRejected(t *testing.T, state desired.State, names ...string) {
	t.Helper()
	var got []string
	for name := range state.Rejected {
		got = append(got, name)
	}
	if len(got) != len(names) {
		t.Fatalf("rejected %v, want %v", got, names)
	}
	for _, name := range names {
		rejection, ok := state.Rejected[name]
		if !ok || len(rejection.Errors) == 0 || rejection.Revision == "" {
			t.Errorf("rejected %v, want %s with its errors and revision", state.Rejected, name)
		}
	}
}

func TestHeadOfTheBranchIsInForce(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	repo := server.open(options)
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})

	head := server.commit(files{"fleets/web.yaml": fleet("web", "v2"), "fleets/db.yaml": fleet("db", "v7")})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v2", "db": "v7"})
	wantProblem(t, state)
	if state.Revision != head || state.Fleets["web"].Revision != head || state.Committed.IsZero() || time.Since(state.Checked) > time.Minute {
		t.Errorf("state %+v is not of commit %s", state, head)
	}
	if again := poll(t, repo); !again.Checked.After(state.Checked) {
		t.Errorf("checked %s, want later than %s", again.Checked, state.Checked)
	} else if last := repo.Stats().LastSuccess; !last.Equal(again.Checked) {
		t.Errorf("the last success was at %s, want %s", last, again.Checked)
	}
	if stats := repo.Stats(); stats.Head != head || !stats.HeadCommitted.Equal(state.Committed) || stats.Branch != "main" {
		t.Errorf("told of %s of %s, committed %s; want %s, committed %s", stats.Head, stats.Branch, stats.HeadCommitted, head, state.Committed)
	}
	options.Branch = "refs/heads/main" // as other tools spell it
	if last := server.open(options).Stats().LastSuccess; last.IsZero() || last.After(state.Checked) {
		t.Errorf("after a restart the last success was at %s, want when the commit was accepted, at the latest at %s", last, state.Checked)
	}
	wantReleases(t, poll(t, server.open(options)), map[string]string{"web": "v2", "db": "v7"})
}

func TestG38OneListingPerPollAndAFetchOnlyWhenTheHeadMoved(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	list, pack := "GET /repo.git/info/refs", "POST /repo.git/git-upload-pack"
	for i, want := range [][]string{{list, pack}, {list}, {list}} {
		poll(t, repo)
		if diff := cmp.Diff(want, server.took()); diff != "" {
			t.Errorf("poll %d (-want +got):\n%s", i, diff)
		}
	}
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	poll(t, repo)
	if diff := cmp.Diff([]string{list, pack}, server.took()); diff != "" {
		t.Errorf("after a push (-want +got):\n%s", diff)
	}
	stats := repo.Stats()
	if stats.Polls != 4 || stats.Fetches != 2 {
		t.Errorf("stats %+v", stats)
	}
	for _, reason := range Reasons() { // a counter is there before its first error
		if count, ok := stats.Errors[reason]; !ok || count != 0 {
			t.Errorf("errors %v, want 0 of reason %s", stats.Errors, reason)
		}
	}
}

func TestExchangesWithTheServerAreTold(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	var told []string
	options.Observe = func(operation string, took time.Duration, failed bool) {
		told = append(told, fmt.Sprint(operation, " failed:", failed, " timed:", took > 0))
	}
	repo := server.open(options)
	poll(t, repo)
	poll(t, repo)
	_, _ = repo.Contains(t.Context(), strings.Repeat("1", 40)) // asks for all of the history, unless it is there already
	server.answer(status(http.StatusBadGateway))
	_, _ = repo.Poll(t.Context())
	want := []string{"list failed:false timed:true", "fetch failed:false timed:true", "list failed:false timed:true", "list failed:true timed:true"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// status answers every request with a code.
func status(code int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, "<html>\x1b[31mgo away", code)
	}
}

// onPack misbehaves once the pack is asked for.
func onPack(misbehave http.HandlerFunc) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
		if r.Method == http.MethodPost {
			misbehave(w, r)
			return
		}
		backend.ServeHTTP(w, r)
	}
}

func TestG33OutageLeavesTheAcceptedCommitInForce(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		fmt.Fprint(w, "0008NAK\n0014\x01PACK\x00\x00\x00\x02\x00\x00\x00\x09")
		panic(http.ErrAbortHandler)
	}
	garbage := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "0008NAK\n000f\x01no pack at")
	}
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client left
		<-r.Context().Done()
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, http.Handler)
		reason Reason
	}{
		"500":                  {status(500), Network},
		"503":                  {status(503), Network},
		"401":                  {status(401), Auth},
		"403":                  {status(403), Auth},
		"403 with Retry-After": {status(403, "Retry-After", "60"), RateLimited},
		"404":                  {status(404), NotFound},
		"429":                  {status(429), RateLimited},
		"a page instead": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			fmt.Fprint(w, "<html>please log in</html>")
		}, Corrupt},
		"cut off": {func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }, Network},
		"silent": {func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			<-r.Context().Done()
		}, Timeout},
		"pack cut off": {onPack(cut), Network},
		"pack garbage": {onPack(garbage), Corrupt},
		"pack 500":     {onPack(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "", 500) }), Network},
		"pack empty":   {onPack(func(http.ResponseWriter, *http.Request) {}), Network},
		"pack silent":  {onPack(silent), Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newGitServer(t)
			first := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
			options := server.options()
			repo := server.open(options)
			poll(t, repo)
			sick := repo
			if test.reason == Timeout {
				options.Timeout = patience
				sick = server.open(options)
			}
			before := sick.State()
			server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
			server.answer(test.answer)

			state, err := sick.Poll(t.Context())
			wantOutage(t, state, err, test.reason)
			if strings.Contains(state.Problem, fmt.Sprint("longer than ", transferFactor*patience)) {
				t.Errorf("problem %q: silence was noticed only when all of a pack's time was up", state.Problem)
			}
			wantReleases(t, state, map[string]string{"web": "v1"})
			if state.Revision != first || !state.Checked.Equal(before.Checked) {
				t.Errorf("revision %s checked %s, want %s of %s", state.Revision, state.Checked, first, before.Checked)
			}
			if got := sick.Stats().Errors[test.reason]; got != 1 {
				t.Errorf("%d errors counted as %s, want 1", got, test.reason)
			}

			server.answer(nil)
			state = poll(t, repo)
			wantReleases(t, state, map[string]string{"web": "v2"})
			wantProblem(t, state)
		})
	}
}

func wantOutage(t *testing.T, state desired.State, err error, reason Reason) {
	t.Helper()
	var explained *Error
	if !errors.As(err, &explained) || explained.Reason != reason {
		t.Errorf("error %v, want one for reason %s", err, reason)
		return
	}
	if strings.ContainsAny(explained.Error(), "\x1b\n") || state.Problem != explained.Error() {
		t.Errorf("problem %q, want the error %q on one plain line", state.Problem, explained)
	}
}

func TestG33NothingToReadIsNoOrder(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(*gitServer){
		"branch gone": func(s *gitServer) {
			s.run(s.bare, "update-ref", "refs/heads/other", "refs/heads/main")
			s.run(s.bare, "update-ref", "-d", "refs/heads/main")
		},
		"repo empty": func(s *gitServer) { s.run(s.bare, "update-ref", "-d", "refs/heads/main") },
		"repo gone":  func(s *gitServer) { s.check(os.Rename(s.bare, s.bare+".away")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newGitServer(t)
			server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
			repo := server.open(server.options())
			poll(t, repo)
			empty(server)
			state, err := repo.Poll(t.Context())
			wantOutage(t, state, err, NotFound)
			wantReleases(t, state, map[string]string{"web": "v1"})
		})
	}
}

func TestG33NobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	repo, err := Open(Options{URL: "http://" + address + "/repo.git", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Network)
	if state.Revision != "" || len(state.Fleets) != 0 {
		t.Errorf("state %+v out of nothing", state)
	}
}

func TestMissingDirectoryIsNoOrder(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "README": text("x")})
	repo := server.open(server.options())
	poll(t, repo)
	server.commit(files{"fleets/web.yaml": nil})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1"})
	wantProblem(t, state, "has no directory fleets", "--path")
	if state.Revision != first {
		t.Errorf("revision %s, want %s", state.Revision, first)
	}
	server.took()
	poll(t, repo)
	if took := server.took(); len(took) != 1 {
		t.Errorf("a refused head was fetched again: %v", took)
	}
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	state = poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v2"})
	wantProblem(t, state)
}

func TestPathNamesADirectoryOfTheRepo(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"deploy/eu/fleets/web.yaml": fleet("web", "v1"), "fleets/other.yaml": fleet("other", "v9")})
	options := server.options()
	options.Path = "deploy/eu/"
	wantReleases(t, poll(t, server.open(options)), map[string]string{"web": "v1"})

	options = server.options()
	options.Path = "deploy/us"
	state := poll(t, server.open(options))
	wantReleases(t, state, map[string]string{})
	wantProblem(t, state, "has no directory deploy/us/fleets")
}

func TestG34RewrittenHistoryIsRefusedUntilAPersonAcceptsIt(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	base := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	accepted := server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)

	server.rewind(base)
	head := server.commit(files{"fleets/web.yaml": fleet("web", "v3")})
	for range 2 {
		state := poll(t, repo)
		wantReleases(t, state, map[string]string{"web": "v2"})
		wantProblem(t, state, "windlass run --accept-revision "+head, accepted)
	}
	if rewrites := repo.Stats().Rewrites; rewrites != 1 {
		t.Errorf("%d rewrites counted, want 1", rewrites)
	}

	// A restart remembers, although the server has no way to send the accepted commit any more.
	state := poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"web": "v2"})
	wantProblem(t, state, "--accept-revision "+head)

	options.AcceptRevision = accepted[:10] // names something else
	state = poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"web": "v2"})
	wantProblem(t, state, "; --accept-revision "+accepted[:10]+" is another commit")

	options.AcceptRevision = strings.ToUpper(head[:7])
	state = poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"web": "v3"})
	wantProblem(t, state)

	options.AcceptRevision = "" // accepted once is accepted
	repo = server.open(options)
	wantReleases(t, poll(t, repo), map[string]string{"web": "v3"})
	wantContains(t, repo, accepted, true)
}

func TestG39ARevisionIsAcceptedByHandOnce(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	base := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	options := server.options()
	poll(t, server.open(options))
	server.rewind(base)
	head := server.commit(files{"fleets/web.yaml": fleet("web", "v3")})
	options.AcceptRevision = head[:12]
	wantReleases(t, poll(t, server.open(options)), map[string]string{"web": "v3"})

	repo := server.open(options) // the flag stays in a unit file
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v3"})
	wantProblem(t, state)
	server.commit(files{"fleets/web.yaml": fleet("web", "v4")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v4"})

	server.rewind(head)
	server.push()
	for _, repo := range []*Repo{repo, server.open(options)} {
		state := poll(t, repo)
		wantReleases(t, state, map[string]string{"web": "v4"})
		wantProblem(t, state, "push a commit on top of it and name that one", "--accept-revision "+head[:12]+" was used up")
	}
	again := server.commit(files{})
	options.AcceptRevision = again
	state = poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"web": "v3"})
	wantProblem(t, state)
}

func TestG39ReplayOfAnOlderCommitIsARewrite(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	older := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	repo := server.open(server.options())
	poll(t, repo)
	server.rewind(older)
	server.push()
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v2"})
	wantProblem(t, state, "history of branch main was rewritten")

	// The branch put right again is followed again.
	server.run(server.work, "reset", "-q", "--hard", "ORIG_HEAD")
	server.commit(files{"fleets/web.yaml": fleet("web", "v3")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v3"})
}

// Whichever parent of a merge the accepted commit is, the merge follows it.
func TestAMergeOfTheAcceptedCommitIsNoRewrite(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	base := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	accepted := server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	repo := server.open(server.options())
	poll(t, repo)
	server.rewind(base)
	server.record(files{"fleets/db.yaml": fleet("db", "v7")}, "on a branch of its own")
	server.run(server.work, "merge", "-q", "-m", "merge", accepted)
	server.push()
	state := poll(t, repo)
	wantProblem(t, state)
	wantReleases(t, state, map[string]string{"web": "v2", "db": "v7"})
}

func TestG35LongGapIsNoRewrite(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"true", "false"} {
		t.Run("server filters "+filter, func(t *testing.T) {
			t.Parallel()
			server := newGitServer(t)
			server.run(server.bare, "config", "uploadpack.allowFilter", filter)
			base := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
			repo := server.open(server.options())
			poll(t, repo)
			server.gap(300)
			server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
			wantReleases(t, poll(t, repo), map[string]string{"web": "v2"})
			if stats := repo.Stats(); stats.Fetches != 3 {
				t.Errorf("%d fetches, want 3: one at first, a bounded and a whole one for the gap", stats.Fetches)
			}
			wantContains(t, repo, base, true)

			server.rewind(base)
			server.gap(150)
			state := poll(t, repo)
			wantReleases(t, state, map[string]string{"web": "v2"})
			wantProblem(t, state, "was rewritten")
		})
	}
}

func wantContains(t *testing.T, repo *Repo, revision string, want bool) {
	t.Helper()
	got, err := repo.Contains(t.Context(), revision)
	if err != nil || got != want {
		t.Errorf("contains %s: %v, %v; want %v", revision, got, err, want)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.gap(150)
	head := server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	repo := server.open(server.options())
	if _, err := repo.Contains(t.Context(), head); err == nil {
		t.Error("an answer before anything is accepted")
	}
	poll(t, repo)
	stranger := strings.Repeat("5", 40)
	server.took()
	wantContains(t, repo, head, true)
	wantContains(t, repo, "; rm -rf /", false)
	wantContains(t, repo, "", false)
	if took := server.took(); len(took) != 0 {
		t.Errorf("known answers asked the server: %v", took)
	}
	wantContains(t, repo, first, true)
	wantContains(t, repo, stranger, false)
	if took := server.took(); len(took) != 2 {
		t.Errorf("the whole history is fetched once, not %v", took)
	}
	server.commit(files{"fleets/web.yaml": fleet("web", "v3")})
	poll(t, repo)
	server.took()
	wantContains(t, repo, first, true)
	wantContains(t, repo, stranger, false)
	if took := server.took(); len(took) != 0 {
		t.Errorf("what is known was lost when the head moved: %v", took)
	}
}

// Two histories that end somewhere are whole together only where each begins where the other knows more.
func TestJoinedHistoriesLackWhatBothLack(t *testing.T) {
	t.Parallel()
	of := func(name string) plumbing.Hash { return plumbing.NewHash(strings.Repeat(name, 40)) }
	set := func(names string) map[plumbing.Hash]struct{} {
		all := map[plumbing.Hash]struct{}{}
		for _, name := range names {
			all[of(string(name))] = struct{}{}
		}
		return all
	}
	newer := history{commits: set("ed"), missing: set("c")}
	for name, c := range map[string]struct {
		ancestor        history
		missing, commit string
	}{
		"which ends":         {history{commits: set("cb"), missing: set("a")}, "a", "edcb"},
		"which is whole":     {history{commits: set("cba")}, "", "edcba"},
		"which is elsewhere": {history{commits: set("1")}, "c", "ed1"},
		"which knows less":   {history{commits: set("d"), missing: set("c")}, "c", "ed"},
		"which is nothing":   {history{}, "c", "ed"},
	} {
		joined := newer.join(c.ancestor)
		if diff := cmp.Diff(set(c.missing), joined.missing) + cmp.Diff(set(c.commit), joined.commits); diff != "" || joined.whole() != (c.missing == "") {
			t.Errorf("one %s: whole %t\n%s", name, joined.whole(), diff)
		}
	}
}

func TestContainsCannotTellDuringAnOutage(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.gap(150)
	options := server.options()
	repo := server.open(options)
	head := poll(t, repo).Revision
	server.answer(status(503))
	server.took()
	looking, scraped := context.WithCancel(t.Context())
	var scraper sync.WaitGroup
	scraper.Go(func() { // metrics are asked for meanwhile
		for looking.Err() == nil {
			_ = repo.Stats()
		}
	})
	for range 3 {
		if contained, err := repo.Contains(t.Context(), strings.Repeat("5", 40)); err == nil || contained {
			t.Errorf("contains: %v, %v; want an error", contained, err)
		}
	}
	scraped()
	scraper.Wait()
	if took := server.took(); len(took) != 1 {
		t.Errorf("a server in trouble was asked again and again: %v", took)
	}
	wantContains(t, repo, head, true)
	server.answer(nil)
	repo.deepen.at = repo.deepen.at.Add(-deepenAgain) // a minute later
	wantContains(t, repo, strings.Repeat("5", 40), false)
}

// Who gives a question up learns that, and it says nothing of the server.
func TestContainsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.gap(150)
	repo := server.open(server.options())
	poll(t, repo)
	ctx, cancel := context.WithCancel(t.Context())
	server.answer(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := repo.Contains(ctx, strings.Repeat("5", 40)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for reason, count := range repo.Stats().Errors {
		if count != 0 {
			t.Errorf("a stop was counted as an error: %s", reason)
		}
	}
	server.answer(nil)
	wantContains(t, repo, strings.Repeat("5", 40), false)
}

func TestWhatWasInForceIsKnownAfterARestartWithoutAsking(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	options := server.options()
	repo := server.open(options)
	var accepted []string
	for i := range 3 {
		accepted = append(accepted, server.commit(files{"fleets/web.yaml": fleet("web", fmt.Sprint("v", i))}))
		poll(t, repo)
	}
	server.answer(status(503))
	restarted := server.open(options)
	for _, commit := range accepted {
		wantContains(t, restarted, commit, true)
	}
}

func TestTheNewestCommitsAreRemembered(t *testing.T) {
	t.Parallel()
	var accepted []string
	for i := range mostRemembered + 50 {
		for range 2 { // the same one again is none more
			accepted = remember(accepted, fmt.Sprint(i))
		}
	}
	if n := len(accepted); n != mostRemembered || accepted[0] != "50" || accepted[n-1] != fmt.Sprint(mostRemembered+49) {
		t.Errorf("%d are remembered: %v", n, accepted)
	}
}

func TestLaw2LostStateDirectory(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	base := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	old := server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	server.rewind(base)
	head := server.commit(files{"fleets/web.yaml": fleet("web", "v3")})

	repo := server.open(server.options())
	poll(t, repo)
	wantContains(t, repo, base, true)
	wantContains(t, repo, old, false) // a node that records it shows that history was rewritten

	options := server.options()
	options.AcceptRevision = head
	repo = server.open(options)
	poll(t, repo)
	wantContains(t, repo, old, true)
}

func TestLaw2LostStateDirectoryRecallsTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	server.run(server.work, "commit", "-q", "--amend", "--no-edit", "--date", "2001-01-01T00:00:00Z") // written long before it was committed
	good := server.push()
	server.commit(files{"fleets/web.yaml": nil, "fleets/db.yaml": nil, "README": text("moved")}) // no directory of fleets
	server.commit(files{"fleets/web.yaml": broken("web"), "fleets/db.yaml": garbled(), "fleets/new.yaml": broken("new")})
	server.gap(5)
	options, want := server.options(), map[string]string{"web": "v2", "db": "v1"}
	state := poll(t, server.open(options))
	wantReleases(t, state, want)
	wantRejected(t, state, "web", "db", "new")
	if web := state.Fleets["web"]; web.Revision != good || time.Since(web.Committed) > time.Hour {
		t.Errorf("web is of %s, committed %s; want %s, just now", web.Revision, web.Committed, good)
	}

	repo := server.open(options) // before it reads the repo, and when the good versions are too far back
	wantReleases(t, repo.State(), want)
	server.gap(120)
	wantReleases(t, poll(t, repo), want)
	repo = server.open(options)
	wantReleases(t, poll(t, repo), want)
	wantProblem(t, repo.State())
}

func TestLaw3BrokenFleetKeepsItsLastGoodVersionAcrossRestarts(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	good := server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)
	server.commit(files{"fleets/web.yaml": broken("web"), "fleets/db.yaml": fleet("db", "v2"), "fleets/new.yaml": broken("new")})
	server.commit(files{"fleets/db.yaml": fleet("db", "v3")})
	server.gap(120)
	check := func(state desired.State) {
		t.Helper()
		wantReleases(t, state, map[string]string{"web": "v1", "db": "v3"})
		wantRejected(t, state, "web", "new")
		if state.Fleets["web"].Revision != good {
			t.Errorf("web is of %s, want %s", state.Fleets["web"].Revision, good)
		}
		if len(state.Warnings) == 0 {
			t.Error("nothing warns of a fleet of one node")
		}
	}
	check(poll(t, repo))
	check(poll(t, server.open(options)))

	server.answer(status(503))
	repo = server.open(options)
	check(repo.State())
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Network)
	check(state)
}

// A large repo's files are read once for each commit that is needed, and no history is read for what is known.
func TestOnlyWhatIsNeededIsReadAgain(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	options := server.options()
	poll(t, server.open(options))
	server.commit(files{"fleets/web.yaml": broken("web")})
	poll(t, server.open(options))

	loads := 0
	repo, err := open(options, func(files fs.FS) (desired.Tree, error) {
		loads++
		return desired.Load(files)
	})
	must(t, err)
	t.Cleanup(repo.Close)
	if loads != 2 {
		t.Errorf("what was kept of 2 commits was read in %d times", loads)
	}
	loads = 0
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1", "db": "v1"})
	if loads != 1 {
		t.Errorf("%d commits were read, want the head alone", loads)
	}
}

func TestLaw3VersionsOfTwoCommitsMustNotShareANode(t *testing.T) {
	t.Parallel()
	moved := func(name, release string) *string {
		return text(strings.ReplaceAll(*fleet(name, release), name+".invalid", "10.0.0.1"))
	}
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": moved("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)
	// The node moves from web to db, but web's own file is broken: its last good version still has the node.
	server.commit(files{"fleets/web.yaml": broken("web"), "fleets/db.yaml": moved("db", "v2")})
	for _, repo := range []*Repo{repo, server.open(options)} {
		state := poll(t, repo)
		wantReleases(t, state, map[string]string{"web": "v1", "db": "v1"})
		wantRejected(t, state, "web", "db")
	}
	server.commit(files{"fleets/db.yaml": fleet("db", "v3"), "fleets/new.yaml": moved("new", "v1")})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1", "db": "v3"})
	wantRejected(t, state, "web", "new")
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2", "db": "v3", "new": "v1"})
}

// What is taken back may share a node with what is new beside it, and so on.
func TestLaw3VersionsAreTakenBackUntilNoneShareANode(t *testing.T) {
	t.Parallel()
	at := func(name, release, address string) *string {
		return text(strings.ReplaceAll(*fleet(name, release), name+".invalid", address))
	}
	server := newGitServer(t)
	server.commit(files{"fleets/a.yaml": at("a", "v1", "10.0.0.1"), "fleets/b.yaml": at("b", "v1", "10.0.0.2"), "fleets/c.yaml": at("c", "v1", "10.0.0.3")})
	repo := server.open(server.options())
	poll(t, repo)
	server.commit(files{"fleets/a.yaml": broken("a"), "fleets/b.yaml": at("b", "v2", "10.0.0.1"), "fleets/c.yaml": at("c", "v2", "10.0.0.2")})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"a": "v1", "b": "v1", "c": "v1"})
	wantRejected(t, state, "a", "b", "c")
}

// What is looked up in history gives way to what is in force, and never the other way round.
func TestLaw3ARecalledVersionTakesNoNodeAway(t *testing.T) {
	t.Parallel()
	same := func(name, release string) *string {
		return text(strings.ReplaceAll(*fleet(name, release), name+".invalid", "10.0.0.1"))
	}
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": same("web", "v1")})
	server.commit(files{"fleets/web.yaml": nil, "fleets/db.yaml": same("db", "v2")})
	options := server.options()
	wantReleases(t, poll(t, server.open(options)), map[string]string{"db": "v2"})
	server.commit(files{"fleets/web.yaml": broken("web"), "fleets/db.yaml": broken("db")})
	state := poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"db": "v2"})
	wantRejected(t, state, "web", "db")
}

func TestLostArchiveIsReadFromHistory(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	good := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	poll(t, server.open(options))
	server.commit(files{"fleets/web.yaml": broken("web"), "fleets/api.yaml": fleet("api", "v7")})
	poll(t, server.open(options))
	server.check(os.WriteFile(filepath.Join(options.Dir, good+".zip"), []byte("damaged"), 0o600))
	repo := server.open(options)
	wantReleases(t, repo.State(), map[string]string{"api": "v7"})
	wantProblem(t, repo.State(), "fleet web has no version in force", good)
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1", "api": "v7"})
	wantProblem(t, state)
}

func TestFleetsThatIsNoDirectoryIsNoOrder(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.check(os.RemoveAll(filepath.Join(server.work, "fleets")))
	server.check(os.Symlink("elsewhere", filepath.Join(server.work, "fleets")))
	server.commit(files{"elsewhere/web.yaml": fleet("web", "v2")})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1"})
	wantProblem(t, state, "has no directory fleets")
}

func TestLaw3ASubmoduleReleasesNoFleet(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/team/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.run(server.work, "rm", "-q", "-r", "fleets/team")
	server.run(server.work, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",fleets/team")
	server.run(server.work, "commit", "-q", "-m", "submodule")
	server.push()
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1", "db": "v1"})
	wantRejected(t, state, "fleets/team")
}

func TestLaw3FileNamesThatAreNoTextAreRejectedAlone(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/caf\xe9.yaml": fleet("one", "v1"), "fleets/caf\xe9/two.yaml": fleet("two", "v1")})
	options := server.options()
	state := poll(t, server.open(options))
	wantReleases(t, state, map[string]string{"web": "v1"})
	wantProblem(t, state)
	for _, name := range []string{`"fleets/caf\xe9.yaml"`, `"fleets/caf\xe9"`} {
		if len(state.Rejected[name].Errors) != 1 {
			t.Errorf("%s is not rejected: %v", name, state.Rejected)
		}
	}
	wantReleases(t, server.open(options).State(), map[string]string{"web": "v1"})
}

func TestLaw2RemovedFileReleasesItsFleet(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)
	server.commit(files{"fleets/web.yaml": nil})
	released := map[string]string{"web": "v1 released", "db": "v1"}
	wantReleases(t, poll(t, repo), released)
	wantReleases(t, server.open(options).State(), released)
	wantReleases(t, poll(t, server.open(options)), released)
	server.commit(files{"fleets/web.yaml": broken("web")})
	wantReleases(t, poll(t, repo), released)
	heir := text(strings.ReplaceAll(*fleet("site", "v1"), "site.invalid", "web.invalid")) // a released fleet gives its nodes up
	server.commit(files{"fleets/web.yaml": nil, "fleets/site.yaml": heir})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1 released", "db": "v1", "site": "v1"})
	server.commit(files{"fleets/web.yaml": fleet("web", "v2"), "fleets/site.yaml": nil})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2", "db": "v1", "site": "v1 released"})
}

func TestRenamedFileIsNoRelease(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.commit(files{"fleets/web.yaml": nil, "fleets/eu/web.yml": fleet("web", "v2")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2", "db": "v1"})
	// Renamed and so broken that its name cannot be told: it may be web, so web is not released.
	server.commit(files{"fleets/eu/web.yml": nil, "fleets/web.yaml": garbled()})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v2", "db": "v1"})
	wantRejected(t, state, "fleets/web.yaml")
}

func TestGarbledFileIsRejectedUnderItsFleetsName(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.commit(files{"fleets/web.yaml": garbled()})
	state := poll(t, repo)
	wantReleases(t, state, map[string]string{"web": "v1"})
	wantRejected(t, state, "web")
}

func TestG36NoTornReads(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	pair := func(i int) files {
		release := fmt.Sprintf("v%d", i)
		return files{"fleets/web.yaml": fleet("web", release), "fleets/db.yaml": fleet("db", release)}
	}
	server.commit(pair(0))
	repo := server.open(server.options())
	poll(t, repo)
	pushing, pushed := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		for pushing.Err() == nil {
			state, _ := repo.Poll(pushing) // a head that moves between listing and pack is an error; the next poll reads it
			if web, db := state.Fleets["web"].Fleet.Release, state.Fleets["db"].Fleet.Release; web != db {
				t.Errorf("web is %s and db is %s: of two commits", web, db)
			}
		}
	})
	for i := range 15 {
		server.commit(pair(i + 1))
	}
	pushed()
	reader.Wait()
	wantReleases(t, poll(t, repo), map[string]string{"web": "v15", "db": "v15"})
}

func TestG37ServerThatInsistsOnMultiACK(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.answer(func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
		if r.Method == http.MethodPost {
			asked := peek(t, r)
			if !strings.Contains(asked, " multi_ack") {
				http.Error(w, "multi_ack is required", http.StatusBadRequest)
				return
			}
		}
		backend.ServeHTTP(w, r)
	})
	wantReleases(t, poll(t, server.open(server.options())), map[string]string{"web": "v1"})
}

func TestG40CredentialsAreShownNowhere(t *testing.T) {
	t.Parallel()
	const secret = "hunter2/+&%"
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.answer(func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "deploy" || password != secret {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
	withUser := strings.Replace(server.url, "http://", "http://deploy:hunter2%2F+&%25@", 1)
	withToken := strings.Replace(server.url, "http://", "http://deploy@", 1)
	for _, options := range []Options{{URL: withUser}, {URL: withToken, TokenFile: tokenFile(t, secret)}} {
		options.Dir = t.TempDir()
		repo := server.open(options)
		wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})
		if kept := readAll(t, options.Dir); strings.Contains(kept, "hunter2") {
			t.Error("the state directory holds the password")
		}
		server.answer(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { panic(http.ErrAbortHandler) })
		state, err := repo.Poll(t.Context())
		if text := fmt.Sprintf("%v %+v %#v %v", err, err, err, state.Problem); strings.Contains(text, "hunter2") {
			t.Errorf("the password is shown: %s", text)
		}
		server.answer(func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
			if user, password, _ := r.BasicAuth(); user == "deploy" && password == secret {
				backend.ServeHTTP(w, r)
			}
		})
	}
	_, err := Open(Options{URL: "https://hunter2:\x7f@host/%zz", Dir: t.TempDir()})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("open: %v", err)
	}
	asked := server.open(Options{URL: server.url + "?key=hunter2", Dir: t.TempDir()})
	server.answer(status(404))
	if _, err := asked.Poll(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("poll: %v", err)
	}
	wrong := server.open(Options{URL: strings.Replace(server.url, "http://", "http://hunter2token@", 1), Dir: t.TempDir()})
	for _, answer := range []func(http.ResponseWriter, *http.Request, http.Handler){status(401), echoUser} {
		server.answer(answer)
		if _, err := wrong.Poll(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("poll: %v", err)
		}
	}
	if problem := wrong.State().Problem; !strings.Contains(problem, "no such user: ***") {
		t.Errorf("problem %q, want it to say what the server said", problem)
	}
}

// echoUser is a server that refuses a user and says which.
func echoUser(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	user, _, _ := r.BasicAuth()
	said := "ERR no such user: " + user
	fmt.Fprintf(w, "%04x%s", len(said)+4, said)
}

// tokenFile holds the token as an editor leaves it.
func tokenFile(t *testing.T, token string) string {
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return file
}

func TestG40AUserBesideATokenIsNoSecret(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(Options{URL: "https://git@127.0.0.1:1/org/gitops.git", Dir: t.TempDir(), TokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "/org/gitops.git") {
		t.Errorf("got %v", err)
	}
}

func TestARenewedTokenIsTakenUp(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	valid := "first"
	server.answer(func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
		if _, password, _ := r.BasicAuth(); password != valid {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
	options := server.options()
	options.TokenFile = tokenFile(t, "first")
	repo := server.open(options)
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})

	valid = "second"
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Auth)
	for content, want := range map[string]string{"first": "check that the token is valid", "": "there is no token in"} {
		must(t, os.WriteFile(options.TokenFile, []byte(content), 0o600))
		state, err = repo.Poll(t.Context())
		wantOutage(t, state, err, Auth)
		wantProblem(t, state, want)
	}
	must(t, os.WriteFile(options.TokenFile, []byte("second"), 0o600))
	wantProblem(t, poll(t, repo))
	must(t, os.Remove(options.TokenFile))
	state, err = repo.Poll(t.Context())
	wantOutage(t, state, err, Auth)
	wantProblem(t, state, "correct --git-token-file")
}

func TestFileURLsAndPaths(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	for _, url := range []string{"file://" + server.bare, server.bare} {
		options := server.options()
		options.URL = url
		repo := server.open(options)
		wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})
		poll(t, repo)
	}
	options := server.options()
	options.URL = "file://" + server.bare + ".nowhere"
	state, err := server.open(options).Poll(t.Context())
	wantOutage(t, state, err, NotFound)
}

// What people read about a server that is no git server, and what they can do.
func TestTroubleSaysWhatToDo(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>please log in</html>") }))
	t.Cleanup(page.Close)
	nothing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(nothing.Close)
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	missing := filepath.Join(t.TempDir(), "none")
	for url, c := range map[string]struct {
		reason Reason
		want   string
	}{
		page.URL:     {Corrupt, "what answers there is no git server (invalid pkt-len found): check the URL"},
		nothing.URL:  {Corrupt, "what answers there is no git server (empty input): check the URL"},
		stranger.URL: {HostKey, "certificate signed by unknown authority: check the URL, or add its authority to those this machine trusts (SSL_CERT_FILE)"},
		missing:      {NotFound, "cannot read " + missing + ": there is no git repository: check the URL"},
	} {
		repo, err := Open(Options{URL: url, Dir: t.TempDir()})
		must(t, err)
		t.Cleanup(repo.Close)
		state, err := repo.Poll(t.Context())
		wantOutage(t, state, err, c.reason)
		wantProblem(t, state, c.want)
	}
}

// G41: what is small in a pack and huge outside of it does not fill the memory.
func TestAPackThatIsFarLargerThanItLooks(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)
	server.commit(files{"zeros": text(strings.Repeat("0", 3<<20))})
	repo.remote.most.history = 2 << 20
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantProblem(t, state, "is larger than 2 MB: keep only what fleets need in the deploy repo")
	wantReleases(t, state, map[string]string{"web": "v1"})
}

// G41: nor does what is small in a pack, and whose objects are small there too, because each only says how it differs from the last.
func TestAPackThatUnpacksToFarMore(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	large := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(large)
	for i := range 5 {
		large[i] = 0
		server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "large": text(string(large))})
	}
	repo := server.open(server.options())
	repo.remote.most.history = 3 << 20
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantProblem(t, state, "is larger than 3 MB")
	repo.remote.most.history = 8 << 20
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})
}

func TestFileURLWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(Options{URL: "file:///srv/deploy.git", Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "install git") {
		t.Errorf("open: %v", err)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	for want, options := range map[string]Options{
		"--repo":            {},
		"--state-dir":       {URL: "https://host/repo"},
		"not inside":        {URL: "https://host/repo", Path: "../x"},
		"--accept-revision": {URL: "https://host/repo", AcceptRevision: "abc"},
		"no branch name":    {URL: "https://host/repo", Branch: "a..b"},
		"\"git\"":           {URL: "git://host/repo"},
		"clear text":        {URL: "http://user:secret@host:443/repo"},
		"known_hosts":       {URL: "git@host:repo", SSHKey: "key"},
		"no key":            {URL: "git@host:repo", KnownHosts: "known_hosts"},
		"holds a password":  {URL: "ssh://git:secret@host/repo", KnownHosts: "known_hosts", SSHKey: "key"},
	} {
		if options.Dir == "" && want != "--state-dir" && want != "--repo" {
			options.Dir = t.TempDir()
		}
		if _, err := Open(options); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("open: %v; want it to say %q", err, want)
		}
	}
}

func TestDamagedOrNewerStateStopsWithWhatToDo(t *testing.T) {
	t.Parallel()
	newer := fmt.Sprintf(`{"schema":99,"revision":"%s"}`, strings.Repeat("a", 40))
	for content, want := range map[string]string{"{": "move the file away", "{}": "move the file away", newer: "newer windlass"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "accepted.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{URL: "https://host/repo", Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open with %s: %v; want %q", content, err, want)
		}
	}
}

// What a person typed must mean one commit of the history that it accepts.
func TestG39AnAmbiguousRevisionAcceptsNothing(t *testing.T) {
	t.Parallel()
	const named = "abcdef0"
	of := func(last string) plumbing.Hash {
		return plumbing.NewHash(named + strings.Repeat("0", 40-len(named)-len(last)) + last)
	}
	head, other := of("1"), plumbing.NewHash(strings.Repeat("1", 40))
	repo := &Repo{options: Options{AcceptRevision: named}}
	for _, c := range []struct {
		head    plumbing.Hash
		history []plumbing.Hash
		want    bool
	}{{head, []plumbing.Hash{head, other}, true}, {head, []plumbing.Hash{head, other, of("2")}, false}, {other, []plumbing.Hash{head, other}, false}} {
		past := history{commits: map[plumbing.Hash]struct{}{}}
		for _, commit := range c.history {
			past.commits[commit] = struct{}{}
		}
		if got := repo.acceptedByHand(c.head, past); got != c.want {
			t.Errorf("of %v, %s accepted: %v", c.history, c.head, got)
		}
	}
}

// A look from elsewhere may have no right to what the agent keeps; the agent itself must never go on as if nothing had been accepted.
func TestStateThatMustNotBeReadStopsAllButALook(t *testing.T) {
	t.Parallel()
	options := Options{URL: "https://host/repo", Dir: t.TempDir()}
	const unreadable = "/proc/sys/vm/drop_caches" // to root too
	if err := os.Symlink(unreadable, filepath.Join(options.Dir, "accepted.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(options); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("open: %v", err)
	}
	options.ReadOnly = true
	if _, err := Open(options); err != nil {
		t.Errorf("look: %v", err)
	}
}

// An earlier windlass kept that a person had accepted a rewritten history, and not which commits were named.
func TestStateOfAnEarlierWindlassThatWasAcceptedByHand(t *testing.T) {
	t.Parallel()
	before, head := strings.Repeat("a", 40), strings.Repeat("b", 40)
	dir := t.TempDir()
	text := fmt.Sprintf(`{"schema":1,"revision":%q,"acceptedByHand":true,"accepted":[%q,%q],"fleets":{}}`, head, before, head)
	if err := os.WriteFile(filepath.Join(dir, "accepted.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for named, used := range map[string]bool{head[:12]: true, before[:12]: false} {
		repo, err := Open(Options{URL: "https://host/repo", Dir: dir, AcceptRevision: named})
		if err != nil {
			t.Fatal(err)
		}
		if repo.usedUp() != used {
			t.Errorf("--accept-revision %s is used up: %v", named, !used)
		}
	}
}

func TestReadOnlyKeepsNothing(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	poll(t, server.open(options))
	server.check(os.WriteFile(filepath.Join(options.Dir, ".new-1"), []byte("being written by the agent"), 0o600))
	before := readAll(t, options.Dir)
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	options.ReadOnly = true
	repo := server.open(options)
	wantReleases(t, repo.State(), map[string]string{"web": "v1"})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2"})
	if readAll(t, options.Dir) != before {
		t.Error("the state directory changed")
	}
}

func TestCommitThatCannotBeKeptIsNotInForce(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	repo := server.open(options)
	server.check(os.WriteFile(options.Dir, nil, 0o600)) // stands where the directory should be
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantReleases(t, state, map[string]string{})
	wantProblem(t, state, "not in force yet", options.Dir)
	server.check(os.Remove(options.Dir))
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})
}

// What accepted.json names is always there: a commit whose files, or whose name, cannot be written is not in force.
func TestCommitWhoseFilesCannotBeKeptIsNotInForce(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	options := server.options()
	repo := server.open(options)
	poll(t, repo)
	index := filepath.Join(options.Dir, "accepted.json")
	before, err := os.ReadFile(index)
	server.check(err)
	second := server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	archive := filepath.Join(options.Dir, second+".zip")
	server.check(os.Mkdir(archive, 0o700)) // no file takes the place of a directory
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantReleases(t, state, map[string]string{"web": "v1"})
	wantProblem(t, state, "not in force yet", "cannot keep the files of commit "+second)
	if after, err := os.ReadFile(index); err != nil || string(after) != string(before) {
		t.Errorf("another commit is kept: %s, %v", after, err)
	}
	server.check(os.Remove(archive))
	server.check(os.Remove(index))
	server.check(os.Mkdir(index, 0o700))
	state, err = repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantReleases(t, state, map[string]string{"web": "v1"})
	server.check(os.Remove(index))
	server.check(os.WriteFile(index, before, 0o600)) // with what it names, which is not pruned before another name is kept
	wantReleases(t, server.open(options).State(), map[string]string{"web": "v1"})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2"})
	wantReleases(t, server.open(options).State(), map[string]string{"web": "v2"})
}

func TestOldArchivesAreRemoved(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	options := server.options()
	repo := server.open(options)
	for i := range 4 {
		server.commit(files{"fleets/web.yaml": fleet("web", fmt.Sprintf("v%d", i)), "fleets/big.bin": text("not read")})
		poll(t, repo)
	}
	found, err := os.ReadDir(options.Dir)
	if err != nil || len(found) != 2 {
		t.Errorf("%v, %v; want accepted.json and one archive", found, err)
	}
	half := filepath.Join(options.Dir, ".new-123") // of a write that was killed
	server.check(os.WriteFile(half, nil, 0o600))
	server.open(options)
	if _, err := os.Stat(half); err == nil {
		t.Error("half a file stays")
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	server.answer(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	})
	repo := server.open(server.options())
	if _, err := repo.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("poll: %v", err)
	}
	if total := repo.Stats().Polls; total != 0 {
		t.Errorf("a stop was counted as a failed poll")
	}
}

// Law 2: one broken file whose name cannot be told keeps every missing fleet from being released, however many others are broken too.
func TestLaw2AFileThatMayBeAnyFleetReleasesNone(t *testing.T) {
	t.Parallel()
	const unnamed = "fleets/unnamed.yaml"
	rejected := map[string]desired.Rejection{unnamed: {Path: unnamed}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		rejected[name] = desired.Rejection{Path: "fleets/" + name + ".yaml"}
	}
	before := map[string]desired.Version{"web": {Fleet: &desired.Fleet{Name: "web", Path: "fleets/web.yaml"}}}
	if next := advance(before, desired.Tree{Rejected: rejected}, &object.Commit{}); next.Fleets["web"].Released {
		t.Error("web is released, and may be the unnamed file")
	}
	delete(rejected, unnamed)
	if next := advance(before, desired.Tree{Rejected: rejected}, &object.Commit{}); !next.Fleets["web"].Released {
		t.Error("web is gone, and not released")
	}
}

// What was told once does not change under who was told.
func TestStatsAreACopy(t *testing.T) {
	t.Parallel()
	r := &Repo{remote: &remote{}, stats: Stats{Errors: map[Reason]int{Other: 0}}}
	before := r.Stats()
	_ = r.note(errors.New("down"))
	if after := r.Stats(); before.Errors[Other] != 0 || after.Errors[Other] != 1 {
		t.Errorf("before %v, after %v", before.Errors, after.Errors)
	}
}
