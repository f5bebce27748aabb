package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"windlass/desired/trust"
)

// A past is a made-up history: signed for real, with files that say who may sign.
type past struct {
	t       *testing.T
	commits map[string][]byte
	files   map[string]string // allowed_signers, by commit
	before  map[string]bool   // what is known to lie before the accepted commit
	cut     map[string]bool   // what was not fetched
}

func newPast(t *testing.T) *past {
	return &past{t: t, commits: map[string][]byte{}, files: map[string]string{}, before: map[string]bool{}, cut: map[string]bool{}}
}

// Commit is of trust.History.
func (p *past) Commit(id string) ([]byte, error) {
	raw, is := p.commits[id]
	if !is || p.cut[id] {
		return nil, trust.ErrUnfetched
	}
	return raw, nil
}

// Keys is of trust.History.
func (p *past) Keys(id string) (*trust.Keys, error) {
	keys, err := trust.Read(fstest.MapFS{trust.AllowedSigners: &fstest.MapFile{Data: []byte(p.files[id])}})
	if err != nil {
		return nil, &trust.Refusal{Reason: trust.NoFiles, Text: "trust/" + err.Error()}
	}
	return keys, nil
}

// Accepted is of trust.History.
func (p *past) Accepted(id string) (bool, error) { return p.before[id], nil }

// ann, bob and eve have keys of their own; nobody has none.
var ann, bob, eve, nobody = signerOf(1), signerOf(2), signerOf(3), ssh.Signer(nil)

func signerOf(seed byte) ssh.Signer {
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return signer
}

// allow is an allowed_signers of these.
func allow(who ...ssh.Signer) string {
	var lines strings.Builder
	for i, s := range who {
		fmt.Fprintf(&lines, "signer%d %s", i, ssh.MarshalAuthorizedKey(s.PublicKey()))
	}
	return lines.String()
}

// add makes a commit so many minutes after noon, by somebody, with files, on top of its parents.
func (p *past) add(by ssh.Signer, minute int, files string, parents ...string) string {
	p.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "tree %040d\n", len(p.commits))
	for _, parent := range parents {
		fmt.Fprintf(&text, "parent %s\n", parent)
	}
	at := noon.Add(time.Duration(minute) * time.Minute).Unix()
	fmt.Fprintf(&text, "author Ann <ann@example.org> %d +0000\ncommitter Ann <ann@example.org> %[1]d +0000\n\nchange\n", at)
	raw := text.String()
	if by != nil {
		signature, err := sshsig.Sign(strings.NewReader(raw), by, sshsig.HashSHA512, "git")
		if err != nil {
			p.t.Fatal(err)
		}
		raw = headed(raw, "gpgsig", strings.TrimSpace(string(sshsig.Armor(signature))))
	}
	id := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "commit %d\x00%s", len(raw), raw)))
	p.commits[id], p.files[id] = []byte(raw), files
	return id
}

// judge judges as of an hour after noon.
func (p *past) judge(accepted, head string) trust.Verdict {
	p.t.Helper()
	v, err := trust.Judge(p, accepted, head, noon.Add(time.Hour))
	if err != nil {
		p.t.Fatalf("judging: %v", err)
	}
	return v
}

func TestHowFarAHistoryIsGood(t *testing.T) {
	t.Parallel()
	both, anns, bobs := allow(ann, bob), allow(ann), allow(bob)
	for name, test := range map[string]struct {
		// build returns the accepted commit, the head, the newest that is good, and the one that lacks something
		build  func(p *past) (accepted, head, good, lacking string)
		reason trust.Reason // of the refusal; empty: there is none
	}{
		"nothing new": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(nobody, 0, anns)
			return a, a, a, ""
		}},
		"a line, the accepted one is not judged": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(nobody, 0, both)
			c := p.add(bob, 2, both, p.add(ann, 1, both, a))
			return a, c, c, ""
		}},
		"as far as it is good": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(ann, 1, both, a)
			c := p.add(nobody, 2, both, b)
			return a, p.add(ann, 3, both, c), b, c
		}, reason: trust.Unsigned},
		"a stranger": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(eve, 1, both, a)
			return a, b, a, b
		}, reason: trust.UnknownKey},
		"who lists themselves": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, anns)
			b := p.add(bob, 1, both, a)
			return a, b, a, b
		}, reason: trust.UnknownKey},
		"who was listed before": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, anns)
			c := p.add(bob, 2, both, p.add(ann, 1, both, a))
			return a, c, c, ""
		}},
		"who took themselves out": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(bob, 1, anns, a)
			c := p.add(bob, 2, anns, b)
			return a, c, b, c
		}, reason: trust.UnknownKey},
		"others go on after somebody took themselves out": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			c := p.add(ann, 2, anns, p.add(bob, 1, anns, a))
			return a, c, c, ""
		}},
		"a merge": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			m := p.add(ann, 3, both, p.add(ann, 1, both, a), p.add(bob, 2, both, a))
			return a, m, m, ""
		}},
		"a merge that is not signed": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(ann, 1, both, a)
			m := p.add(nobody, 3, both, b, p.add(bob, 2, both, a))
			return a, m, b, m
		}, reason: trust.Unsigned},
		"unsigned work that was merged": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(ann, 1, both, a)
			side := p.add(nobody, 2, both, a)
			return a, p.add(ann, 4, both, b, p.add(bob, 3, both, side)), b, side
		}, reason: trust.Unsigned},
		"unsigned work in the last of three that were merged": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			side := p.add(nobody, 1, both, a)
			return a, p.add(ann, 2, both, a, p.add(bob, 1, both, a), side), a, side
		}, reason: trust.Unsigned},
		"unsigned work that was merged into what was merged": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			side := p.add(nobody, 1, both, a)
			return a, p.add(ann, 3, both, a, p.add(bob, 2, both, p.add(bob, 1, both, a), side)), a, side
		}, reason: trust.Unsigned},
		"three that were merged": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			m := p.add(ann, 2, both, a, p.add(bob, 1, both, a), p.add(ann, 1, both, a))
			return a, m, m, ""
		}},
		"a branch of before who may sign was known": {build: func(p *past) (_, _, _, _ string) {
			old := p.add(nobody, -90, "")
			p.before[old] = true
			a := p.add(ann, 0, both, old)
			m := p.add(ann, 2, both, a, p.add(bob, 1, "", old))
			return a, m, m, ""
		}},
		"a key that was taken out signs on a branch": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			out := p.add(ann, 1, anns, a)
			side := p.add(bob, 0, both, a) // dated before, as anybody can
			return a, p.add(ann, 3, anns, out, side), out, side
		}, reason: trust.UnknownKey},
		"a key that was taken out brings a branch with the file as it was": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			out := p.add(ann, 1, anns, a)
			m := p.add(bob, 3, both, out, p.add(bob, 2, both, a))
			return a, m, out, m
		}, reason: trust.UnknownKey},
		"a key whose line ran out before the merge": {build: func(p *past) (_, _, _, _ string) {
			until := strings.Replace(both, "signer1 ", `signer1 valid-before="202606011202Z" `, 1)
			a := p.add(ann, 0, until)
			side := p.add(bob, 1, until, a)
			return a, p.add(ann, 3, until, a, side), a, side
		}, reason: trust.Expired},
		"a key whose line ran out after the merge": {build: func(p *past) (_, _, _, _ string) {
			until := strings.Replace(both, "signer1 ", `signer1 valid-before="202606011204Z" `, 1)
			a := p.add(ann, 0, until)
			m := p.add(ann, 3, until, a, p.add(bob, 1, until, a))
			return a, m, m, ""
		}},
		"a branch that lists its own signer": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, anns)
			side := p.add(bob, 2, both, p.add(ann, 1, both, a))
			return a, p.add(ann, 3, both, a, side), a, side
		}, reason: trust.UnknownKey},
		"branches that merged each other": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			one, two := p.add(ann, 1, both, a), p.add(bob, 1, both, a)
			m := p.add(ann, 3, both, p.add(ann, 2, both, one, two), p.add(bob, 2, both, two, one))
			return a, m, m, ""
		}},
		"a merge that somebody pulled before they pushed": {build: func(p *past) (_, _, _, _ string) {
			old := p.add(nobody, -1, both)
			p.before[old] = true
			a := p.add(ann, 0, both, old)
			m := p.add(bob, 3, both, p.add(bob, 2, both, old), a)
			c := p.add(ann, 4, both, m)
			return a, c, c, ""
		}},
		"who was taken out merges what took them out": {build: func(p *past) (_, _, _, _ string) {
			old := p.add(ann, -1, both)
			p.before[old] = true
			a := p.add(ann, 0, anns, old)
			m := p.add(bob, 3, both, p.add(bob, 2, both, old), a)
			return a, p.add(bob, 4, both, m), a, m
		}, reason: trust.UnknownKey},
		"minutes before what it follows": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 10, both)
			c := p.add(bob, 5, both, a)
			return a, c, c, ""
		}},
		"dated back": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 10, both)
			b := p.add(bob, 4, both, a)
			return a, b, a, b
		}, reason: trust.Backdated},
		"dated back behind a good one": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 10, both)
			b := p.add(bob, 30, both, a)
			c := p.add(bob, 20, both, b)
			return a, c, b, c
		}, reason: trust.Backdated},
		"work that waited for long": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 30, both)
			m := p.add(ann, 31, both, a, p.add(bob, 0, both, a))
			return a, m, m, ""
		}},
		"minutes ahead": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(bob, 65, both, a)
			return a, b, b, ""
		}},
		"of the future": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(bob, 66, both, a)
			return a, b, a, b
		}, reason: trust.Future},
		"on top of what a person accepted of the future": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(nobody, 600, both)
			b := p.add(bob, 57, both, a)
			return a, b, b, ""
		}},
		"an empty file": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(ann, 1, "", a)
			return a, p.add(ann, 2, both, b), a, b
		}, reason: trust.NoFiles},
		"a broken file": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			b := p.add(ann, 1, both+"oops\n", a)
			return a, p.add(ann, 2, both, b), a, b
		}, reason: trust.NoFiles},
		"a broken file on a branch": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(ann, 0, both)
			m := p.add(ann, 2, bobs, a, p.add(ann, 1, "oops", a))
			return a, m, m, ""
		}},
		"an accepted commit without files": {build: func(p *past) (_, _, _, _ string) {
			a := p.add(nobody, 0, "")
			b := p.add(ann, 1, both, a)
			return a, b, a, b
		}, reason: trust.NoFiles},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t)
			accepted, head, good, lacking := test.build(p)
			p.before[accepted] = true
			v := p.judge(accepted, head)
			if v.Good != good {
				t.Errorf("good up to %s, want %s", v.Good, good)
			}
			switch {
			case v.Refused == nil:
				if lacking != "" {
					t.Errorf("nothing is refused, want %s", lacking)
				}
			case v.Refused.Lacking != lacking || v.Refused.Reason != test.reason:
				t.Errorf("%s is refused (%s: %v), want %s (%s)", v.Refused.Lacking, v.Refused.Reason, v.Refused, lacking, test.reason)
			}
			if steps := p.oneByOne(accepted, head); v.Good != steps {
				t.Errorf("at one poll it is good up to %s, at a poll for each commit up to %s", v.Good, steps)
			}
		})
	}
}

// oneByOne is how far a line is good when each of its commits is polled for itself, and judged again after each that is accepted.
func (p *past) oneByOne(accepted, head string) string {
	for {
		next := accepted
		for at := head; at != accepted; { // the lowest one of the line that is good by itself, in as many polls as there are commits
			v, err := trust.Judge(p, accepted, at, noon.Add(time.Hour))
			if err != nil {
				break // it does not follow
			}
			if v.Refused == nil {
				next = at
			}
			c, err := trust.ParseCommit(p.commits[at])
			if err != nil || len(c.Parents) == 0 {
				break
			}
			at = c.Parents[0]
		}
		if next == accepted {
			return accepted
		}
		for todo := []string{next}; len(todo) > 0; {
			at := todo[0]
			todo = todo[1:]
			if p.before[at] {
				continue
			}
			p.before[at] = true
			c, _ := trust.ParseCommit(p.commits[at])
			todo = append(todo, c.Parents...)
		}
		accepted = next
	}
}

func TestWhatIsSaidOfARefusedCommit(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	a := p.add(ann, 0, allow(ann))
	side := p.add(bob, 1, allow(ann), a)
	m := p.add(ann, 66, allow(ann), p.add(ann, 2, allow(ann), a), side)
	p.before[a] = true
	v := p.judge(a, side)
	for _, part := range []string{"commit " + side + " by Ann <ann@example.org> is not accepted: it is signed by SHA256:", "a key of nobody in allowed_signers"} {
		if !strings.Contains(v.Refused.Error(), part) {
			t.Errorf("%q does not say %q", v.Refused.Error(), part)
		}
	}
	v = p.judge(a, m)
	if want := noon.Add(61 * time.Minute); v.Refused.Reason != trust.Future || !v.Refused.Again.Equal(want) {
		t.Errorf("%v, again at %s; want it to be good at %s", v.Refused, v.Refused.Again, want)
	}
	v, err := trust.Judge(p, a, m, noon.Add(61*time.Minute))
	if err != nil || !strings.Contains(v.Refused.Error(), "commit "+side+" by Ann <ann@example.org>, which commit "+m+" merged, is not accepted: ") {
		t.Errorf("once it is time: %v, %v; want the side commit and its merge", v.Refused, err)
	}
	hostile := p.add(nobody, 1, "", a)
	p.commits[hostile] = bytes.ReplaceAll(p.commits[hostile], []byte("Ann"), []byte("A\x1b[31mn\rn"))
	if said := p.judge(a, hostile).Refused.Error(); strings.ContainsAny(said, "\x1b\r\n") {
		t.Errorf("%q moves a terminal", said)
	}
}

func TestACommitWhoseDateIsNone(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	a := p.add(ann, 0, allow(ann))
	p.before[a] = true
	b := p.add(ann, 1, allow(ann), a)
	odd := p.add(ann, 2, allow(ann), b)
	raw := p.commits[odd]
	p.commits[odd] = bytes.ReplaceAll(raw, fmt.Appendf(nil, "%d", noon.Unix()+120), []byte("99999999999999999999"))
	if v := p.judge(a, odd); v.Good != b || v.Refused == nil || v.Refused.Reason != trust.Malformed {
		t.Errorf("%+v; want it refused as malformed, and what is before it accepted", v)
	}
}

func TestHistoryThatWasNotFetched(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) (p *past, a, b, side, m string) {
		p = newPast(t)
		a = p.add(ann, 0, allow(ann))
		p.before[a] = true
		b = p.add(ann, 1, allow(ann), a)
		side = p.add(ann, 1, allow(ann), p.add(ann, 0, allow(ann), a))
		return p, a, b, side, p.add(ann, 2, allow(ann), b, side)
	}
	p, a, b, side, m := build(t)
	for _, cut := range []string{b, side, m} {
		p.cut = map[string]bool{cut: true}
		if v, err := trust.Judge(p, a, m, noon); !errors.Is(err, trust.ErrUnfetched) {
			t.Errorf("without %s: %+v, %v; want ErrUnfetched", cut, v, err)
		}
	}
	p.cut = nil
	if v := p.judge(a, m); v.Good != m {
		t.Errorf("with all of it: %+v", v)
	}
	other := p.add(ann, 3, allow(ann))
	if v, err := trust.Judge(p, a, other, noon); err == nil {
		t.Errorf("a history of its own is %+v, want an error", v)
	}
}

func TestAHeadByItself(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	keys := files{trust.AllowedSigners: allow(ann)}.read(t)
	old := p.add(nobody, 0, "")
	for name, test := range map[string]struct {
		head   string
		reason trust.Reason
	}{
		"signed":        {p.add(ann, 1, "", old), ""},
		"by a stranger": {p.add(bob, 1, "", old), trust.UnknownKey},
		"of the future": {p.add(ann, 66, "", old), trust.Future},
	} {
		t.Run(name, func(t *testing.T) {
			no, err := trust.JudgeHead(p, test.head, keys, noon.Add(time.Hour))
			switch {
			case err != nil:
				t.Error(err)
			case (no == nil) != (test.reason == ""), no != nil && no.Reason != test.reason:
				t.Errorf("refused: %v, want %q", no, test.reason)
			}
		})
	}
}
