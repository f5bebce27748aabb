package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/desired/trust"
)

// hash is a commit or a tag of a name, for people to tell apart in tests.
func hash(name string) string { return (name + strings.Repeat("0", 40))[:40] }

// A repo is a remote and a forge that behave, and that can be made to fail.
type repo struct {
	refs    map[string]string
	tags    map[string]string // raw, by hash
	parents map[string]string // of commits; one chain at most
	checks  []Check
	fails   error // what listing fails with
	forge   error // what the forge fails with

	listings, fetches, questions int
	depths                       []int
}

// newRepo has commits c1 to c5 on main, and an annotated tag v1 of c3.
func newRepo() *repo {
	r := &repo{refs: map[string]string{"refs/heads/main": hash("c5")}, tags: map[string]string{}, parents: map[string]string{}}
	for n := 1; n <= 5; n++ {
		r.parents[hash(fmt.Sprint("c", n))] = hash(fmt.Sprint("c", n-1))
	}
	r.parents[hash("c1")] = ""
	r.tag("v1", "a1", "commit", "c3")
	return r
}

// tag makes refs/tags/NAME an annotated tag of an object.
func (r *repo) tag(name, at, kind, object string) { r.tagAs(name, name, at, kind, object) }

func (r *repo) tagAs(ref, name, at, kind, object string) {
	r.refs["refs/tags/"+ref] = hash(at)
	r.tags[hash(at)] = fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger A <a@example.com> 1 +0000\n\n%s\n", hash(object), kind, name, name)
}

func (r *repo) Refs(context.Context) (map[string]string, error) {
	r.listings++
	return r.refs, r.fails
}

func (r *repo) Fetch(_ context.Context, depth int, hashes ...string) (Copy, error) {
	r.fetches++
	r.depths = append(r.depths, depth)
	return part{r, depth}, nil
}

func (r *repo) Checks(_ context.Context, commit string, names []string) ([]Check, error) {
	r.questions++
	return r.checks, r.forge
}

// A part is a copy that is so deep.
type part struct {
	*repo
	depth int
}

func (p part) Tag(hash string) ([]byte, bool) { raw, ok := p.tags[hash]; return []byte(raw), ok }
func (p part) Commit(hash string) bool        { _, ok := p.parents[hash]; return ok }

func (p part) Reaches(head, commit string) Reach {
	for n := 0; head != ""; n++ {
		if head == commit {
			return Reached
		}
		if n == p.depth && p.depth > 0 {
			return CannotTell
		}
		parent, known := p.parents[head]
		if !known {
			return CannotTell
		}
		head = parent
	}
	return NotReached
}

// keys are signers that let one tag through, or refuse all.
type keys struct{ err error }

func (k keys) Tag([]byte, time.Time) (trust.Signer, error) {
	return trust.Signer{Name: "ann@example.com"}, k.err
}

func reader(r *repo, signers error) *Reader {
	return NewReader(Options{
		Remote:  func(string) (Remote, error) { return r, nil },
		Forge:   func(string) (Forge, error) { return r, nil },
		Signers: func(fs.FS) (Signers, error) { return keys{signers}, nil },
		Pause:   30 * time.Second,
	})
}

func demand(change ...func(*desired.Source)) *desired.Source {
	s := &desired.Source{Repository: "https://git.example.com/shop/web", Branch: "main", Tag: "{release}", ChecksWithin: time.Hour}
	for _, c := range change {
		c(s)
	}
	return s
}

func signed(s *desired.Source) { s.Signed = true }

func needs(checks ...desired.RequiredCheck) func(*desired.Source) {
	return func(s *desired.Source) { s.Checks = checks }
}

func wantVerdict(t *testing.T, name string, v Verdict, state State, says string) {
	t.Helper()
	if v.State != state || !strings.Contains(v.Reason, says) {
		t.Errorf("%s: %s: %s; want %s: %s", name, v.State, v.Reason, state, says)
	}
	if (v.Commit != "") != (state == Open) {
		t.Errorf("%s: commit %q of a verdict that is %s", name, v.Commit, v.State)
	}
}

// What a tag may be, and what not.
func TestTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*repo)
		signs  error // of its signature; with none it need not be signed
		state  State
		says   string
	}{
		"as it should be": {func(*repo) {}, nil, Open, "tag v1 names commit c30000000000 of branch main"},
		"missing":         {func(r *repo) { delete(r.refs, "refs/tags/v1") }, nil, Wait, "there is no tag v1 yet: push it"},
		"an empty repo":   {func(r *repo) { clear(r.refs) }, nil, Wait, "no branch main yet"},
		"no such branch":  {func(r *repo) { delete(r.refs, "refs/heads/main") }, nil, Wait, "no branch main yet"},
		"a branch of that name": {func(r *repo) {
			delete(r.refs, "refs/tags/v1")
			r.refs["refs/heads/v1"] = hash("c3")
		}, nil, Wait, "there is no tag v1 yet"},
		"what the server peels it to": {func(r *repo) {
			r.tag("v1", "a1", "tree", "e1")
			r.refs["refs/tags/v1^{}"] = hash("c3")
		}, nil, Shut, `names a "tree", not a commit`},
		"lightweight":              {func(r *repo) { r.refs["refs/tags/v1"] = hash("c2") }, nil, Open, "names commit c20000000000"},
		"lightweight on nothing":   {func(r *repo) { r.refs["refs/tags/v1"] = hash("b1") }, nil, Shut, "names no commit"},
		"on a blob":                {func(r *repo) { r.tag("v1", "a1", "blob", "b1") }, nil, Shut, `names a "blob", not a commit`},
		"says commit, and is none": {func(r *repo) { r.tag("v1", "a1", "commit", "b1") }, nil, Shut, "names no commit"},
		"of a tag":                 {func(r *repo) { r.tag("old", "a2", "commit", "c4"); r.tag("v1", "a1", "tag", "a2") }, nil, Open, "names commit c40000000000"},
		"of a tag of that name": {func(r *repo) {
			r.tagAs("inner", "v1", "a2", "commit", "c4")
			r.tagAs("v1", "v2", "a1", "tag", "a2")
		}, nil, Shut, `says that it is tag "v2"`},
		"of itself":             {func(r *repo) { r.tag("v1", "a1", "tag", "a1") }, nil, Shut, "more than 5 times over"},
		"renamed":               {func(r *repo) { r.tagAs("v1", "v0", "a1", "commit", "c3") }, nil, Shut, `says that it is tag "v0": it was renamed`},
		"no tag that git makes": {func(r *repo) { r.tags[hash("a1")] = "type commit\nobject " + hash("c3") + "\n" }, nil, Shut, "tag v1 cannot be read: "},
		"not on the branch": {func(r *repo) {
			r.parents[hash("d1")] = hash("c2")
			r.tag("v1", "a1", "commit", "d1")
		}, nil, Shut, "names commit d10000000000, which branch main does not contain"},
		"cut history":               {func(r *repo) { delete(r.parents, hash("c4")) }, nil, Unread, "unshallow it"},
		"not signed":                {func(*repo) {}, &trust.Refusal{Reason: trust.Unsigned, Text: "it is not signed"}, Shut, "tag v1: it is not signed"},
		"signed soon":               {func(*repo) {}, &trust.Refusal{Reason: trust.Future, Text: "signed 20s in the future", Again: time.Unix(9, 0)}, Wait, "signed 20s in the future"},
		"lightweight, to be signed": {func(r *repo) { r.refs["refs/tags/v1"] = hash("c2") }, errors.New("never asked"), Shut, "lightweight tag, which cannot be signed: make it with git tag -s"},
		"outage":                    {func(r *repo) { r.fails = errors.New("cannot read it: no route") }, nil, Unread, "no route"},
	} {
		r := newRepo()
		c.change(r)
		s := demand()
		if c.signs != nil {
			signed(s)
		}
		v := reader(r, c.signs).Read(t.Context(), Ask{"web", "v1", s})
		wantVerdict(t, name, v, c.state, c.says)
	}
}

// A signature that is good names who signed, and files by which nobody can be told are somebody's to mend.
func TestSigners(t *testing.T) {
	t.Parallel()
	wantVerdict(t, "signed", reader(newRepo(), nil).Read(t.Context(), Ask{"web", "v1", demand(signed)}), Open, "of branch main, signed by ann@example.com")
	r := reader(newRepo(), nil)
	r.options.Signers = func(fs.FS) (Signers, error) { return nil, errors.New("allowed_signers:3: no key") }
	wantVerdict(t, "broken files", r.Read(t.Context(), Ask{"web", "v1", demand(signed)}), Shut, "who may sign releases cannot be told: allowed_signers:3: no key")
}

// Only what is named counts, success alone, and each of what shares a name.
func TestChecks(t *testing.T) {
	t.Parallel()
	check := func(kind CheckKind, app string, state CheckState, says string) Check {
		return Check{Kind: kind, Name: "ci", App: app, State: state, Says: says}
	}
	status, run := func(state CheckState, says string) Check { return check(Status, "", state, says) }, func(app string, state CheckState, says string) Check { return check(CheckRun, app, state, says) }
	any, bound, lenient := desired.RequiredCheck{Name: "ci"}, desired.RequiredCheck{Name: "ci", App: "actions"}, desired.RequiredCheck{Name: "ci", Neutral: true}
	for name, c := range map[string]struct {
		demands  desired.RequiredCheck
		reported []Check
		state    State
		says     string
	}{
		"green":                     {any, []Check{status(CheckGreen, "success")}, Open, "its check is green; bound to no app: ci"},
		"nothing":                   {any, nil, Wait, "nobody reported check ci yet on commit c30000000000"},
		"another name":              {any, []Check{{Name: "CI", Kind: Status, State: CheckGreen}}, Wait, "nobody reported check ci yet"},
		"pending":                   {any, []Check{status(CheckPending, "queued")}, Wait, `status ci is "queued"`},
		"red":                       {any, []Check{{Name: "ci", Kind: CheckRun, State: CheckRed, Says: "failure", Page: "https://ci.example.com/7"}}, Shut, `check run ci is "failure" (https://ci.example.com/7) on commit c30000000000`},
		"skipped":                   {any, []Check{run("actions", CheckRed, "skipped")}, Shut, `"skipped"`},
		"a new word":                {any, []Check{run("actions", CheckUnknown, "splendid")}, Unread, `"splendid", a word that windlass does not know`},
		"neutral":                   {any, []Check{run("actions", CheckNeutral, "neutral")}, Shut, "neutral: true"},
		"neutral, and it may be":    {lenient, []Check{run("actions", CheckNeutral, "neutral")}, Open, ""},
		"a green status, a red run": {any, []Check{status(CheckGreen, "success"), run("actions", CheckRed, "failure")}, Shut, `check run ci is "failure"`},
		"a red status, a green run": {any, []Check{status(CheckRed, "error"), run("actions", CheckGreen, "success")}, Shut, `status ci is "error"`},
		"two apps":                  {any, []Check{run("actions", CheckGreen, "success"), run("other", CheckPending, "queued")}, Wait, `"queued"`},
		"bound":                     {bound, []Check{run("actions", CheckGreen, "success")}, Open, "its check is green"},
		"bound, by another":         {bound, []Check{run("imposter", CheckGreen, "success")}, Wait, "check ci of app actions was not reported yet, and app imposter, who did, does not count"},
		"bound, and another is red": {bound, []Check{run("actions", CheckGreen, "success"), run("imposter", CheckRed, "failure")}, Open, ""},
		"bound, by a status":        {bound, []Check{status(CheckGreen, "success")}, Wait, "a status of that name, who did, does not count"},
		"red outweighs pending":     {any, []Check{status(CheckPending, "pending"), run("a", CheckRed, "failure")}, Shut, `"failure"`},
	} {
		r := newRepo()
		r.checks = c.reported
		v := reader(r, nil).Read(t.Context(), Ask{"web", "v1", demand(needs(c.demands))})
		wantVerdict(t, name, v, c.state, c.says)
		if strings.Contains(v.Reason, "bound to no app") != (c.demands.App == "" && v.State == Open) {
			t.Errorf("%s: it says %s", name, v.Reason)
		}
	}
}

// A check that nobody reports is an error after a while, and no longer once somebody does.
func TestChecksThatNeverCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		ask := Ask{"web", "v1", demand(needs(desired.RequiredCheck{Name: "ci"}))}
		read := reader(r, nil)
		delete(r.refs, "refs/tags/v1")
		read.Read(t.Context(), ask)
		time.Sleep(3 * time.Hour) // it is waited for the tag, not for checks
		r.tag("v1", "a1", "commit", "c3")
		wantVerdict(t, "at first", read.Read(t.Context(), ask), Wait, "nobody reported check ci yet")
		time.Sleep(time.Hour - time.Minute)
		wantVerdict(t, "before it is over", read.Read(t.Context(), ask), Wait, "nobody reported check ci yet")
		time.Sleep(time.Minute)
		wantVerdict(t, "when it is over", read.Read(t.Context(), ask), Shut, "no such check on commit c30000000000 within 1h0m0s: nobody reported check ci yet; the workflow must run on push or merge_group")
		r.checks = []Check{{Name: "ci", Kind: CheckRun, State: CheckPending, Says: "queued"}}
		time.Sleep(time.Minute)
		wantVerdict(t, "once it began", read.Read(t.Context(), ask), Wait, "queued")
	})
}

// What keeps a forge from answering is nobody's green, and it is left alone for as long as it wants, whoever asks.
func TestForgesInTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		r.forge = &Later{errors.New("too many requests"), 10 * time.Minute}
		read, s := reader(r, nil), demand(needs(desired.RequiredCheck{Name: "ci"}))
		v := read.Read(t.Context(), Ask{"web", "v1", s})
		wantVerdict(t, "limited", v, Unread, "too many requests")
		if time.Until(v.Again) != 10*time.Minute {
			t.Errorf("it is asked again in %v", time.Until(v.Again))
		}
		time.Sleep(9 * time.Minute)
		read.Read(t.Context(), Ask{"other", "v1", s})
		time.Sleep(time.Minute)
		r.forge, r.checks = nil, []Check{{Name: "ci", Kind: Status, State: CheckGreen}}
		wantVerdict(t, "after it", read.Read(t.Context(), Ask{"web", "v1", s}), Open, "green")
		if r.questions != 2 {
			t.Errorf("it was asked %d times", r.questions)
		}
	})
	without := reader(newRepo(), nil)
	without.options.Forge = func(string) (Forge, error) { return nil, errors.New("host git.example.com is in no file of --forges") }
	wantVerdict(t, "no forge", without.Read(t.Context(), Ask{"web", "v1", demand(needs(desired.RequiredCheck{Name: "ci"}))}), Shut, "--forges")
	wantVerdict(t, "no forge, and no checks", without.Read(t.Context(), Ask{"web", "v1", demand()}), Open, "names commit")
}

// A tag that moved since it was let through is shut, for the fleet that had it, until a person says otherwise.
func TestTagsThatMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		read, s := reader(r, nil), demand()
		wantVerdict(t, "at first", read.Read(t.Context(), Ask{"web", "v1", s}), Open, "c30000000000")
		r.tag("v1", "a2", "commit", "c4")
		time.Sleep(time.Minute)
		wantVerdict(t, "moved", read.Read(t.Context(), Ask{"web", "v1", s}), Shut, "tag v1 moved: it named commit c30000000000 when it was let through, and names c40000000000 now")
		wantVerdict(t, "another fleet", read.Read(t.Context(), Ask{"api", "v1", s}), Open, "c40000000000")
		s.Override = &desired.Emergency{Release: "v1", Reason: "CVE", By: "ann"}
		if v := read.Read(t.Context(), Ask{"web", "v1", s}); v.State != Open || v.Commit != "" || v.Reason != "override by ann: CVE" {
			t.Errorf("with an override it is %+v", v)
		}
		s.Override.Release = "v2"
		wantVerdict(t, "an override of another", read.Read(t.Context(), Ask{"web", "v1", s}), Shut, "moved")
		read.Forget(Ask{"web", "v2", s})
		wantVerdict(t, "another release is forgotten", read.Read(t.Context(), Ask{"web", "v1", s}), Shut, "moved")
		read.Forget(Ask{"web", "v1", s})
		wantVerdict(t, "it is forgotten", read.Read(t.Context(), Ask{"web", "v1", s}), Open, "c40000000000")
	})
}

// One listing and one question to the forge serve all fleets for a while, and what follows from a tag and a head is fetched once.
func TestWhatWaitingCosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		read, s := reader(r, nil), demand(needs(desired.RequiredCheck{Name: "ci"}))
		for range 10 {
			for n := range 20 {
				wantVerdict(t, "waiting", read.Read(t.Context(), Ask{fmt.Sprint("web-", n), "v1", s}), Wait, "nobody reported")
			}
			time.Sleep(30 * time.Second)
		}
		if r.listings != 10 || r.questions != 10 || r.fetches != 1 {
			t.Errorf("in five minutes %d listings, %d fetches, %d questions to the forge", r.listings, r.fetches, r.questions)
		}
	})
}

// More history is fetched where it is needed alone, and a branch that goes on from what is known needs none.
func TestHowMuchIsFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		grow := func(from, to int) {
			for n := from; n <= to; n++ {
				r.parents[hash(fmt.Sprintf("n%06d", n))] = r.refs["refs/heads/main"]
				r.refs["refs/heads/main"] = hash(fmt.Sprintf("n%06d", n))
			}
		}
		grow(1, 3000)
		read, s := reader(r, nil), demand()
		wantVerdict(t, "far away", read.Read(t.Context(), Ask{"web", "v1", s}), Open, "c30000000000")
		if fmt.Sprint(r.depths) != "[100 2000 0]" {
			t.Errorf("it fetched %v", r.depths)
		}
		r.depths = nil
		grow(3001, 3050)
		time.Sleep(time.Minute)
		wantVerdict(t, "a little farther", read.Read(t.Context(), Ask{"web", "v1", s}), Open, "c30000000000")
		if fmt.Sprint(r.depths) != "[100]" {
			t.Errorf("it fetched %v", r.depths)
		}
		r.refs["refs/heads/main"] = hash("c2") // rewritten: the release is not on it any more
		time.Sleep(time.Minute)
		wantVerdict(t, "rewritten", read.Read(t.Context(), Ask{"web", "v1", s}), Shut, "does not contain")
	})
}

// What was cut short says nothing of the server, and is no answer to the next.
func TestCutShort(t *testing.T) {
	t.Parallel()
	r := newRepo()
	read := reader(r, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.fails = context.Canceled
	wantVerdict(t, "cut", read.Read(ctx, Ask{"web", "v1", demand()}), Unread, "")
	r.fails = nil
	wantVerdict(t, "after it", read.Read(t.Context(), Ask{"web", "v1", demand()}), Open, "c30000000000")
}

// What is remembered has an end, and the oldest goes first.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory[int]
	for n := range mostRemembered + 1 {
		m.recall(fmt.Sprint(n), n)
	}
	if len(m.of) != mostRemembered || m.recall("1", -1) != 1 || m.recall("0", -1) != -1 {
		t.Errorf("it remembers %d", len(m.of))
	}
}
