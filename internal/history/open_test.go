package history_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"windlass/internal/history"
)

// full is a file with entries of two fleets, over some pages.
func full(t *testing.T) []byte {
	t.Helper()
	s, path := fresh(t)
	var entries []history.Entry
	for n := range 60 {
		entries = append(entries, entry("web", n), entry("api", n))
	}
	add(t, s, nil, entries...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return contents(t, path)
}

// edited is a file of the library's that somebody changed.
func edited(t *testing.T, text []byte, change func(*bbolt.Tx) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "edited.db")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
	db.Close()
	return contents(t, path)
}

func version(v string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.Bucket([]byte("format")).Put([]byte("version"), []byte(v)) }
}

// garble has one entry of fleet web say something else.
func garble(tx *bbolt.Tx) error {
	web := tx.Bucket([]byte("fleets")).Bucket([]byte("web"))
	key, _ := web.Cursor().First()
	return web.Put(bytes.Clone(key), []byte(`{"fleet":3`))
}

// newer is a file of a later version of the library: both of its first pages say so.
func newer(text []byte) []byte {
	text = bytes.Clone(text)
	for page := range 2 {
		text[page*os.Getpagesize()+16+4] = 3 // behind the page's head and the magic number
	}
	return text
}

// Whatever is found there, the agent starts. Damage is put aside, and what may be good to somebody is left as it is.
func TestOddFilesStopNobody(t *testing.T) {
	t.Parallel()
	good := full(t)
	for name, c := range map[string]struct {
		text   []byte
		opens  bool
		aside  bool
		said   string
		listed int // of fleet web
	}{
		"good":                 {good, true, false, "", 60},
		"empty":                {nil, true, false, "", 0},
		"text":                 {[]byte(strings.Repeat("what is this? ", 2000)), true, true, "damaged", 0},
		"a word":               {[]byte("?"), true, true, "damaged", 0},
		"another program's":    {edited(t, nil, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("fleets")); return err }), true, true, "damaged", 0},
		"an entry turned over": {edited(t, good, garble), true, false, "", 59},
		"of a newer windlass":  {edited(t, good, version("2")), false, false, "format \\\"2\\\"", 0},
		"of a newer library":   {newer(good), false, false, "version mismatch", 0},
	} {
		path := filepath.Join(t.TempDir(), "history.db")
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, log := opened(t, path)
		if (s != nil) != c.opens || strings.Count(log.String(), "\n") != min(1, len(c.said)) || !strings.Contains(log.String(), c.said) {
			t.Errorf("%s: opened %t, want %t, saying %q: %s", name, s != nil, c.opens, c.said, log)
			continue
		}
		if !c.opens && !bytes.Equal(contents(t, path), c.text) {
			t.Errorf("%s: it was changed", name)
		}
		if aside, err := os.ReadFile(path + ".damaged"); c.aside != (err == nil) || c.aside && !bytes.Equal(aside, c.text) {
			t.Errorf("%s: %d bytes were put aside (%v), want all of it: %t", name, len(aside), err, c.aside)
		}
		if s == nil {
			continue
		}
		if got := minutes(t, s, "web", 1000); len(got) != c.listed {
			t.Errorf("%s: %d are listed, want %d", name, len(got), c.listed)
		}
		add(t, s, nil, entry("new", 1))
	}
}

func TestWhereThereCanBeNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	held, path := fresh(t)
	for name, path := range map[string]string{
		"held by another": path, "no such directory": filepath.Join(dir, "none", "history.db"), "a directory": dir,
	} {
		if s, log := opened(t, path); s != nil || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "rollouts go on without") {
			t.Errorf("%s: opened %t: %s", name, s != nil, log)
		}
	}
	add(t, held, nil, entry("web", 1)) // which the one that came too late left alone
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// Without a store a recorder takes what it is told, and keeps nothing.
func TestARecorderWithoutAStore(t *testing.T) {
	t.Parallel()
	log := &strings.Builder{}
	r := history.NewRecorder(nil, slog.New(slog.NewTextHandler(log, nil)))
	r.RolloutDone(done("web", 1))
	if r.Write(nil); log.Len() > 0 {
		t.Errorf("it says %s", log)
	}
}
