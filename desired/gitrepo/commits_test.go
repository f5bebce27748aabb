package gitrepo

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"windlass/desired"
)

var roomy = limits{history: 1 << 20, commits: 1 << 20}

// similar makes commits that git packs as deltas of one another, with files, and a tag. It returns the commits' hashes, sorted.
func (s *gitServer) similar(commits int) []string {
	s.t.Helper()
	words := strings.Repeat("a long message that stays as it is, but for its number\n", 20)
	for i := range commits {
		s.record(files{"fleets/web.yaml": fleet("web", fmt.Sprint("v", i))}, fmt.Sprint(words, i))
	}
	s.run(s.work, "tag", "-a", "-m", "a tag is no commit", "v1")
	return slices.Sorted(strings.FieldsSeq(s.run(s.work, "rev-list", "--all")))
}

// packed is all of the repo, as git packs it.
func (s *gitServer) packed(args ...string) []byte {
	s.t.Helper()
	cmd := exec.Command("git", append([]string{"pack-objects", "--all", "--stdout", "-q", "--no-reuse-delta"}, args...)...)
	cmd.Dir, cmd.Env = s.work, gitEnv()
	pack, err := cmd.Output()
	s.check(err)
	return pack
}

func hashes(commits map[plumbing.Hash]plumbing.EncodedObject) []string {
	var all []string
	for hash := range maps.Keys(commits) {
		all = append(all, hash.String())
	}
	slices.Sort(all)
	return all
}

func TestEveryCommitOfAPackIsFoundHoweverItIsPacked(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	want := server.similar(30)
	for _, args := range [][]string{
		{"--delta-base-offset"},
		{}, // bases by name
		{"--window=0"},
	} {
		store, err := strain(bytes.NewReader(server.packed(args...)), roomy)
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		if got := hashes(store.Commits); !slices.Equal(got, want) {
			t.Errorf("git %v: %d commits, want %d", args, len(got), len(want))
		}
		if len(store.Tags) != 1 || len(store.Objects) != len(want)+1 {
			t.Errorf("git %v: %d objects are kept for %d commits and a tag", args, len(store.Objects), len(want))
		}
	}
}

// A packer makes packs that git itself would not.
type packer struct{ bytes.Buffer }

func newPacker(objects uint32) *packer {
	p := &packer{}
	p.WriteString("PACK")
	p.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), objects))
	return p
}

func (p *packer) add(kind plumbing.ObjectType, base, content string) {
	size := len(content)
	first := byte(kind)<<4 | byte(size&15)
	if size >>= 4; size > 0 {
		p.WriteByte(first | 0x80)
		p.Write(binary.AppendUvarint(nil, uint64(size)))
	} else {
		p.WriteByte(first)
	}
	p.WriteString(base)
	z := zlib.NewWriter(p)
	z.Write([]byte(content))
	z.Close()
}

func (p *packer) end() *bytes.Reader {
	sum := sha1.Sum(p.Bytes())
	p.Write(sum[:])
	return bytes.NewReader(p.Bytes())
}

const (
	firstText  = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b.invalid> 1 +0000\ncommitter a <a@b.invalid> 1 +0000\n\nfirst\n"
	secondText = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b.invalid> 2 +0000\ncommitter a <a@b.invalid> 2 +0000\n\nsecond\n"
)

// insert is a delta that makes text of a base, whatever is in it; it claims to make size bytes.
func insert(base, text string, size int) string {
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), uint64(size))
	for chunk := range slices.Chunk([]byte(text), 127) {
		delta = append(append(delta, byte(len(chunk))), chunk...)
	}
	return string(delta)
}

func nameOf(text string) string {
	hash := plumbing.ComputeHash(plumbing.CommitObject, []byte(text))
	return string(hash[:])
}

const thirdText = secondText + "and third\n"

func wantCommits(t *testing.T, pack *packer, texts ...string) {
	t.Helper()
	store, err := strain(pack.end(), roomy)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, ok := store.Commits[plumbing.Hash([]byte(nameOf(text)))]; !ok {
			t.Errorf("missing: %s", text)
		}
	}
}

func TestACommitSentBeforeWhatItDiffersFromIsFound(t *testing.T) {
	t.Parallel()
	pack := newPacker(4)
	pack.add(plumbing.REFDeltaObject, nameOf(secondText), insert(secondText, thirdText, len(thirdText)))
	pack.add(plumbing.REFDeltaObject, nameOf(firstText), insert(firstText, secondText, len(secondText)))
	pack.add(plumbing.BlobObject, "", "a file")
	pack.add(plumbing.CommitObject, "", firstText)
	wantCommits(t, pack, firstText, secondText, thirdText)
}

func TestADeltaOfADeltaIsFound(t *testing.T) {
	t.Parallel()
	pack := newPacker(3)
	pack.add(plumbing.CommitObject, "", firstText)
	second := pack.Len()
	pack.add(plumbing.OFSDeltaObject, back(second-len("PACK")-8), insert(firstText, secondText, len(secondText)))
	third := pack.Len()
	pack.add(plumbing.OFSDeltaObject, back(third-second), insert(secondText, thirdText, len(thirdText)))
	wantCommits(t, pack, firstText, secondText, thirdText)
}

// back says how far before a delta its base begins, as packs have it.
func back(distance int) string {
	said := []byte{byte(distance & 0x7f)}
	for distance >>= 7; distance > 0; distance >>= 7 {
		distance--
		said = append([]byte{0x80 | byte(distance&0x7f)}, said...)
	}
	return string(said)
}

func TestPacksThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	pack := newPacker(1)
	pack.add(plumbing.CommitObject, "", firstText)
	pack.end()
	good := pack.Bytes()
	for name, c := range map[string]struct {
		pack []byte
		most limits
		want string
	}{
		"cut off":                  {good[:len(good)-30], roomy, "EOF"},
		"altered":                  {append(slices.Clone(good[:len(good)-1]), good[len(good)-1]^1), roomy, "checksum"},
		"no pack":                  {[]byte("<html>go away</html>"), roomy, "malformed"},
		"a commit beyond the room": {good, limits{1 << 20, 100}, "its commits alone take more than"},
		"more than may be sent":    {good, limits{100, 1 << 20}, "its history is larger than"},
	} {
		if _, err := strain(bytes.NewReader(c.pack), c.most); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := measure([]byte("<html>go away</html>"), roomy.history); !errors.Is(err, packfile.ErrBadSignature) {
		t.Errorf("measured: %v", err)
	}
}

// A delta of a few bytes may claim, and make, gigabytes.
func TestADeltaThatMakesMuchOfLittleIsRefused(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{1 << 40: "its commits alone take more than 1 MB", 5: packfile.ErrInvalidDelta.Error()} {
		pack := newPacker(2)
		pack.add(plumbing.CommitObject, "", firstText)
		pack.add(plumbing.REFDeltaObject, nameOf(firstText), insert(firstText, secondText, size))
		if _, err := strain(pack.end(), roomy); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a delta that claims to make %d bytes: %v, want %q", size, err, want)
		}
	}
	for size, want := range map[int]string{1 << 40: "its history is larger than 1 MB", len(secondText): ""} {
		pack := newPacker(2)
		pack.add(plumbing.CommitObject, "", firstText)
		pack.add(plumbing.REFDeltaObject, nameOf(firstText), insert(firstText, secondText, size))
		pack.end()
		if err := measure(pack.Bytes(), 1<<20); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("measured, a delta that claims to make %d bytes: %v, want %q", size, err, want)
		}
	}
}

// allocated is how many bytes do allocates, if nothing runs beside it.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Not in parallel: what the whole process allocates is counted.
func TestWhatAPackHoldsBesideCommitsDoesNotFillTheMemory(t *testing.T) {
	const size, most = 32 << 20, 1 << 20
	deltas, large := newPacker(64+1), newPacker(1)
	for i := range 64 {
		deltas.add(plumbing.REFDeltaObject, nameOf(fmt.Sprint(i)), strings.Repeat("x", size/64))
	}
	deltas.add(plumbing.CommitObject, "", firstText)
	large.add(plumbing.CommitObject, "", firstText+strings.Repeat("x", size))
	for what, c := range map[string]struct {
		pack    *packer
		refused bool
	}{"deltas of files": {deltas, false}, "a commit larger than a repo": {large, true}} {
		pack := c.pack.end()
		var err error
		took := allocated(func() { _, err = strain(pack, limits{history: 1 << 30, commits: most}) })
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", what, err)
		}
		if took > size/4 {
			t.Errorf("%s took %d MB of memory", what, took>>20)
		}
	}
}

// Not in parallel: what the whole process allocates is counted.
func TestTellingAGapFromARewriteTakesNoMemoryForFiles(t *testing.T) {
	const size = 40 << 20
	server := newGitServer(t)
	server.run(server.bare, "config", "uploadpack.allowFilter", "false")
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(noise)
	server.run(server.work, "config", "core.compression", "0")
	server.commit(files{"noise": text(string(noise))})
	server.commit(files{"noise": nil})
	server.gap(150)
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	var state desired.State
	took := allocated(func() { state = poll(t, repo) })
	wantReleases(t, state, map[string]string{"web": "v2"})
	if took > size/2 {
		t.Errorf("a history with %d MB of files took %d MB of memory", size>>20, took>>20)
	}
}

func TestAHistoryOfTooManyCommitsIsRefused(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.gap(4000)
	server.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	repo.remote.most.commits = 1 << 20
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantProblem(t, state, "its commits alone take more than 1 MB: move the fleets to a deploy repo with a shorter history")
	wantReleases(t, state, map[string]string{"web": "v1"})
}
