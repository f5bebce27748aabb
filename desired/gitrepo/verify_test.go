package gitrepo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"windlass/desired"
	"windlass/desired/trust"
)

// A signers is a server whose people sign, by the real git and ssh-keygen.
type signers struct {
	*gitServer
	keys string
}

func newSigners(t *testing.T) signers {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Fatal("ssh-keygen is needed: apt-get install openssh-client")
	}
	s := signers{newGitServer(t), t.TempDir()}
	for _, name := range []string{"ann", "bob"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(s.keys, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	return s
}

// allow is an allowed_signers of these.
func (s signers) allow(names ...string) *string {
	var lines strings.Builder
	for _, name := range names {
		key, err := os.ReadFile(filepath.Join(s.keys, name+".pub"))
		s.check(err)
		fmt.Fprintf(&lines, "%s@example.org %s", name, key)
	}
	return text(lines.String())
}

// by makes a commit that somebody signs, empty: nobody, so long from now, and pushes nothing.
func (s signers) by(who string, ahead time.Duration, change files) string {
	s.t.Helper()
	s.record(change, "change")
	args := []string{"commit", "-q", "--amend", "--no-edit", "--allow-empty"}
	if who != "" {
		args = append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + filepath.Join(s.keys, who)}, append(args, "-S")...)
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = s.work
	cmd.Env = append(gitEnv(), fmt.Sprintf("GIT_COMMITTER_DATE=%d +0000", time.Now().Add(ahead).Unix()))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git commit: %v\n%s", err, out)
	}
	return s.run(s.work, "rev-parse", "HEAD")
}

// pushed is by, and pushes.
func (s signers) pushed(who string, change files) string {
	s.t.Helper()
	s.by(who, 0, change)
	return s.push()
}

// begin makes a repo by nobody that lists ann, and an agent that a person let begin there.
func (s signers) begin(names ...string) (*Repo, Options, string) {
	s.t.Helper()
	root := s.pushed("", files{"fleets/web.yaml": fleet("web", "v1"), "trust/allowed_signers": s.allow(names...)})
	options := s.options()
	options.Verify, options.AcceptRevision = VerifySigned, root
	repo := s.open(options)
	wantProblem(s.t, poll(s.t, repo))
	options.AcceptRevision = ""
	return repo, options, root
}

func wantInForce(t *testing.T, state desired.State, revision, release string) {
	t.Helper()
	if state.Revision != revision {
		t.Errorf("commit %s is in force, want %s; problem: %s", state.Revision, revision, state.Problem)
	}
	wantReleases(t, state, map[string]string{"web": release})
}

func wantRefused(t *testing.T, state desired.State, revision string, reason trust.Reason) {
	t.Helper()
	if r := state.Refused; r.Revision != revision || r.Reason != string(reason) {
		t.Errorf("refused is %+v, want %s (%s)", r, revision, reason)
	}
	if (state.Problem == "") != (reason == "") {
		t.Errorf("the problem is %q", state.Problem)
	}
}

func TestASignedBranchFreezesAtAnUnsignedCommit(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	repo, options, _ := s.begin("ann")
	good := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2")})
	state := poll(t, repo)
	wantInForce(t, state, good, "v2")
	wantRefused(t, state, "", "")

	bad := s.pushed("", files{"fleets/web.yaml": fleet("web", "v3")})
	head := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v4")})
	state = poll(t, repo)
	wantInForce(t, state, good, "v2")
	wantRefused(t, state, bad, trust.Unsigned)
	wantProblem(t, state, "commit "+bad+" by windlass test <test@windlass.invalid> is not accepted: it is not signed", "commit "+good+" stays in force",
		"--accept-revision "+head, "set branch main back")
	if state.Refused.Author != "windlass test <test@windlass.invalid>" || !repo.Stats().Refused {
		t.Errorf("refused %+v, stats %+v", state.Refused, repo.Stats())
	}
	s.took()
	for range 3 {
		if again := poll(t, repo); again.Problem != state.Problem {
			t.Errorf("the problem became %q", again.Problem)
		}
	}
	if took := s.took(); len(took) != 3 {
		t.Errorf("three polls of an unchanged head asked for %v", took)
	}
	restarted := s.open(options)
	state = poll(t, restarted)
	wantInForce(t, state, good, "v2")
	wantRefused(t, state, bad, trust.Unsigned)

	s.rewind(good)
	mended := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v5")})
	for _, repo := range []*Repo{repo, restarted} {
		state = poll(t, repo)
		wantInForce(t, state, mended, "v5")
		wantRefused(t, state, "", "")
		if repo.Stats().Refused || repo.Stats().Rewrites != 0 {
			t.Errorf("stats %+v after another descendant", repo.Stats())
		}
	}
}

func TestABranchIsAcceptedAsFarAsItIsGood(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	root := s.by("", 0, files{"fleets/web.yaml": fleet("web", "v1"), "trust/allowed_signers": s.allow("ann")})
	good := s.by("ann", 0, files{"fleets/web.yaml": fleet("web", "v2")})
	bad := s.pushed("bob", files{"fleets/web.yaml": fleet("web", "v3")})
	options := s.options()
	options.Verify, options.AcceptRevision = VerifySigned, root
	repo := s.open(options)
	state := poll(t, repo)
	wantInForce(t, state, good, "v2")
	wantRefused(t, state, bad, trust.UnknownKey)
	if has, err := repo.Contains(t.Context(), bad); has || err != nil {
		t.Errorf("a node that has the refused commit is taken for one of the accepted history: %v, %v", has, err)
	}
}

func TestAPersonEndsAFreeze(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	_, options, _ := s.begin("ann")
	bad := s.pushed("", files{"fleets/web.yaml": fleet("web", "v2")})
	next := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v3")})
	options.AcceptRevision = bad
	repo := s.open(options)
	state := poll(t, repo)
	wantInForce(t, state, next, "v3")
	wantRefused(t, state, "", "")

	s.rewind(bad) // the unit file still names it
	s.push()
	for _, repo := range []*Repo{repo, s.open(options)} {
		state = poll(t, repo)
		wantInForce(t, state, next, "v3")
		wantProblem(t, state, "rewritten")
	}
	options.AcceptRevision = ""
	s.rewind(next)
	last := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v4")})
	wantInForce(t, poll(t, s.open(options)), last, "v4")
}

// A person who went back from what they had accepted did so for a reason: a unit file that still names it brings it back no more.
func TestACommitThatWasNamedLetsNothingInAgain(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	_, options, _ := s.begin("ann")
	good := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2")})
	bad := s.pushed("", files{"fleets/web.yaml": fleet("web", "v3")})
	options.AcceptRevision = bad
	wantInForce(t, poll(t, s.open(options)), bad, "v3")
	s.rewind(good)
	s.push()
	back := options
	back.AcceptRevision = good
	wantInForce(t, poll(t, s.open(back)), good, "v2")
	s.rewind(bad)
	s.push()
	state := poll(t, s.open(options))
	wantInForce(t, state, good, "v2")
	wantRefused(t, state, bad, trust.Unsigned)
}

func TestReplaysOfSignedCommitsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	repo, _, _ := s.begin("ann")
	old := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2")})
	head := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v3")})
	wantInForce(t, poll(t, repo), head, "v3")
	s.rewind(old)
	s.push()
	state := poll(t, repo)
	wantInForce(t, state, head, "v3")
	wantProblem(t, state, "rewritten")
	s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2")})
	wantInForce(t, poll(t, repo), head, "v3")
}

func TestWithoutARootNothingIsVerified(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	root := s.pushed("", files{"fleets/web.yaml": fleet("web", "v1"), "trust/allowed_signers": s.allow("ann")})
	signed := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2")})
	options := s.options()
	options.Verify = VerifySigned
	state := poll(t, s.open(options))
	if state.Revision != "" {
		t.Errorf("commit %s is in force", state.Revision)
	}
	wantRefused(t, state, signed, noRoot)
	wantProblem(t, state, "--accept-revision "+signed, "--trust DIR")

	options.AcceptRevision = root[:12]
	wantInForce(t, poll(t, s.open(options)), signed, "v2")
	options.AcceptRevision = strings.Repeat("a", 40)
	wantInForce(t, poll(t, s.open(options)), signed, "v2") // it was accepted, and is not judged again

	options.Dir = filepath.Join(t.TempDir(), "lost")
	state = poll(t, s.open(options))
	wantRefused(t, state, signed, noRoot)
	wantProblem(t, state, "--accept-revision "+options.AcceptRevision+" is no one commit of the branch")
}

func TestSwitchingVerificationOn(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	s.pushed("", files{"fleets/web.yaml": fleet("web", "v0")})
	old := s.pushed("", files{"fleets/web.yaml": fleet("web", "v1"), "trust/allowed_signers": s.allow("ann")})
	s.pushed("", files{"fleets/web.yaml": fleet("web", "v2")})
	before := s.pushed("", files{"fleets/web.yaml": fleet("web", "v3")})
	options := s.options()
	wantInForce(t, poll(t, s.open(options)), before, "v3")

	options.Verify = VerifySigned
	state := poll(t, s.open(options))
	wantInForce(t, state, before, "v3")
	wantRefused(t, state, before, noRoot)
	wantProblem(t, state, "was accepted without, and stays in force")

	options.AcceptRevision = old // what follows it is not signed: that must not lead back there
	state = poll(t, s.open(options))
	wantInForce(t, state, before, "v3")
	wantProblem(t, state, "is not signed", "commit "+before+" stays in force")

	options.AcceptRevision = before
	wantRefused(t, poll(t, s.open(options)), "", "")
	options.AcceptRevision = ""
	next := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v4")})
	wantInForce(t, poll(t, s.open(options)), next, "v4")

	options.Verify = VerifyNone
	wantInForce(t, poll(t, s.open(options)), next, "v4")
	options.Verify = VerifySigned
	wantRefused(t, poll(t, s.open(options)), next, noRoot)
	options.AcceptRevision = before // all since then is signed
	wantRefused(t, poll(t, s.open(options)), "", "")
}

func TestWhoMaySignIsSaidOnTheAgentsMachine(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	s.pushed("", files{"fleets/web.yaml": fleet("web", "v1")})
	options := s.options()
	options.Verify, options.Trust = VerifySigned, t.TempDir()
	write := func(names ...string) {
		s.check(os.WriteFile(filepath.Join(options.Trust, trust.AllowedSigners), []byte(*s.allow(names...)), 0o600))
	}
	write("ann")
	repo := s.open(options)
	state := poll(t, repo)
	if state.Revision != "" {
		t.Errorf("commit %s is in force", state.Revision)
	}
	wantProblem(t, state, "is not signed", "push a signed commit")

	root := s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v2"), "trust/allowed_signers": s.allow("bob")})
	wantInForce(t, poll(t, repo), root, "v2")
	bad := s.pushed("bob", files{"fleets/web.yaml": fleet("web", "v3")}) // whom the repo lists
	state = poll(t, repo)
	wantInForce(t, state, root, "v2")
	wantRefused(t, state, bad, trust.UnknownKey)

	s.check(os.WriteFile(filepath.Join(options.Trust, trust.AllowedSigners), []byte("oops"), 0o600))
	if _, err := repo.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "allowed_signers:1: ") {
		t.Errorf("a broken file: %v", err)
	}
	write("ann", "bob")
	state = poll(t, repo)
	wantInForce(t, state, bad, "v3")
	wantRefused(t, state, "", "")
}

func TestWhoMaySignChangesAlongTheBranch(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	repo, _, root := s.begin("ann")
	own := s.pushed("bob", files{"trust/allowed_signers": s.allow("ann", "bob")})
	wantRefused(t, poll(t, repo), own, trust.UnknownKey)
	s.rewind(root)
	s.by("ann", 0, files{"trust/allowed_signers": s.allow("ann", "bob")})
	s.by("bob", 0, files{"fleets/web.yaml": fleet("web", "v2")})
	out := s.pushed("bob", files{"trust/allowed_signers": s.allow("ann")})
	wantInForce(t, poll(t, repo), out, "v2")
	late := s.pushed("bob", files{"fleets/web.yaml": fleet("web", "v3")})
	wantRefused(t, poll(t, repo), late, trust.UnknownKey)
	for name, broken := range map[string]files{
		"garbled": {"trust/allowed_signers": text("oops\n")},
		"empty":   {"trust/allowed_signers": text("")},
		"gone":    {"trust/allowed_signers": nil},
	} {
		s.rewind(out)
		bad := s.pushed("ann", broken)
		state := poll(t, repo)
		wantInForce(t, state, out, "v2")
		wantRefused(t, state, bad, trust.NoFiles)
		if strings.Contains(state.Problem, "\n") || !strings.Contains(state.Problem, "who may sign after commit "+bad) {
			t.Errorf("%s: %q", name, state.Problem)
		}
	}
}

// What a judgement needs lies deeper than what is fetched at first: commits of the line with their files, and where a branch left it.
func TestVerifyingAcrossAGap(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	_, options, root := s.begin("ann")
	options.Depth = 1
	for i := range 4 {
		s.by("ann", 0, files{"fleets/web.yaml": fleet("web", fmt.Sprint("v", 2+i))})
	}
	line := s.by("ann", 0, files{"trust/allowed_signers": s.allow("ann", "bob")})
	s.run(s.work, "checkout", "-q", "-b", "side", root)
	s.by("bob", 0, files{"fleets/db.yaml": fleet("db", "v1")})
	s.by("bob", 0, files{"fleets/db.yaml": nil})
	s.run(s.work, "checkout", "-q", "-B", "main", line)
	s.run(s.work, "merge", "-q", "--no-ff", "--no-commit", "side")
	head := s.pushed("bob", nil)
	state := poll(t, s.open(options))
	wantInForce(t, state, head, "v5")
	wantRefused(t, state, "", "")

	for range 3 {
		s.by("bob", 0, nil)
	}
	good := s.by("bob", 0, files{"fleets/web.yaml": fleet("web", "v6")})
	bad := s.by("", 0, nil)
	for range 3 {
		s.by("bob", 0, nil)
	}
	s.push()
	repo := s.open(options)
	for range 2 { // at the second, what is in force lies too far down to be read again
		state = poll(t, repo)
		wantInForce(t, state, good, "v6")
		wantRefused(t, state, bad, trust.Unsigned)
		repo = s.open(options)
	}
}

// Which commits a merge brings can be told only by all that was accepted. That is asked for once.
func TestAllCommitsAreFetchedForTheFirstMergeAlone(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	s.pushed("", files{"fleets/web.yaml": fleet("web", "v1"), "trust/allowed_signers": s.allow("ann")})
	_, options, _ := s.begin("ann")
	options.Depth = 3
	for range 3 {
		s.by("ann", 0, nil)
	}
	s.push()
	poll(t, s.open(options))
	repo := s.open(options)
	poll(t, repo)
	for i, want := range []int{2, 1} {
		s.took()
		from := s.run(s.work, "rev-parse", "HEAD")
		s.by("ann", 0, files{"fleets/db.yaml": fleet("db", fmt.Sprint("v", i))})
		s.run(s.work, "branch", "-f", "side")
		s.rewind(from)
		s.run(s.work, "merge", "-q", "--no-ff", "--no-commit", "side")
		head := s.pushed("ann", nil)
		if state := poll(t, repo); state.Revision != head {
			t.Errorf("commit %s is in force, want %s: %s", state.Revision, head, state.Problem)
		}
		packs := slices.DeleteFunc(s.took(), func(r string) bool { return !strings.HasPrefix(r, "POST") })
		if len(packs) != want {
			t.Errorf("merge %d took %d fetches, want %d", i+1, len(packs), want)
		}
	}
}

func TestACommitOfTheFutureIsJudgedAgain(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	repo, _, root := s.begin("ann")
	s.by("ann", time.Hour, files{"fleets/web.yaml": fleet("web", "v2")})
	head := s.push()
	state := poll(t, repo)
	wantInForce(t, state, root, "v1")
	wantRefused(t, state, head, trust.Future)
	wantProblem(t, state, "ahead of this machine's clock", "it is judged again at "+state.Refused.Again.UTC().Format(time.RFC3339))
	s.took()
	repo.now = func() time.Time { return state.Refused.Again.Add(-time.Second) }
	if poll(t, repo); len(s.took()) != 1 {
		t.Error("it was judged again before its time")
	}
	repo.now = func() time.Time { return state.Refused.Again }
	state = poll(t, repo)
	wantInForce(t, state, head, "v2")
	wantRefused(t, state, "", "")
}

func TestOptionsOfVerification(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for want, o := range map[string]Options{
		`--verify "yes" is unknown: give none or signed`: {Verify: "yes"},
		"give --verify signed as well":                   {Trust: empty},
		"neither allowed_signers nor keyring.asc":        {Verify: VerifySigned, Trust: empty},
		"cannot tell who may sign by --trust":            {Verify: VerifySigned, Trust: filepath.Join(empty, "none")},
	} {
		o.URL, o.Dir = "https://host/repo", t.TempDir()
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// What git takes and trust cannot read is refused as what it is, and what lies before it is accepted: it needs no key to push such a commit.
func TestACommitThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	for name, garble := range map[string]func(raw, parent string) string{
		"too long":        func(raw, _ string) string { return raw + strings.Repeat("on and on\n", trust.MaxObject/10+1) },
		"parents shouted": func(raw, parent string) string { return strings.Replace(raw, parent, strings.ToUpper(parent), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigners(t)
			repo, _, _ := s.begin("ann")
			good := s.by("ann", 0, files{"fleets/web.yaml": fleet("web", "v2")})
			s.by("", 0, files{"fleets/web.yaml": fleet("web", "v3")})
			raw := s.run(s.work, "cat-file", "commit", "HEAD") + "\n"
			bad := s.pipe(s.work, garble(raw, good), "hash-object", "-t", "commit", "-w", "--stdin")
			s.rewind(bad)
			s.pushed("ann", files{"fleets/web.yaml": fleet("web", "v4")})
			state := poll(t, repo)
			wantInForce(t, state, good, "v2")
			wantRefused(t, state, bad, trust.Malformed)
		})
	}
}

// A thousand commits read who may sign once, unless that changed.
func TestWhoMaySignIsReadOnceForTheSameFiles(t *testing.T) {
	t.Parallel()
	s := newSigners(t)
	repo, _, root := s.begin("ann")
	same := s.by("ann", 0, files{"fleets/web.yaml": fleet("web", "v2")})
	other := s.by("ann", 0, files{"trust/allowed_signers": s.allow("ann", "bob")})
	broken := s.by("ann", 0, files{"trust/allowed_signers": text("oops")})
	again := s.by("ann", 0, nil)
	s.push()
	got, err := repo.remote.fetch(t.Context(), plumbing.ZeroHash, extent{depth: 10})
	s.check(err)
	l := &ledger{Repo: repo, head: got.head, files: got, read: map[plumbing.Hash]keysRead{}}
	first, err := l.Keys(root)
	s.check(err)
	if keys, err := l.Keys(same); keys != first || err != nil {
		t.Errorf("the same files were read again: %v", err)
	}
	if keys, err := l.Keys(other); keys == first || err != nil {
		t.Errorf("other files were not read: %v", err)
	}
	for _, commit := range []string{broken, again} {
		if _, err := l.Keys(commit); err == nil || !strings.Contains(err.Error(), "after commit "+commit+" cannot be told: trust/allowed_signers:1: ") {
			t.Errorf("broken files: %v", err)
		}
	}
}
