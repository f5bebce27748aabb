package gitrepo

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/durable"
)

// A keeper holds on disk what must survive a restart: accepted.json says which commit is in force and which commit each fleet's
// version is of, and <commit>.zip holds the files those fleets were read from. So a new process has the last accepted commit
// in force also while git is away, and when the commit itself is gone from a rewritten repo.
type keeper struct{ dir string }

const keptSchema = 1

// kept is accepted.json.
type kept struct {
	Schema    int                  `json:"schema"`
	Revision  string               `json:"revision"`
	Committed time.Time            `json:"committed"`
	Checked   time.Time            `json:"checked"`
	ByHand    bool                 `json:"acceptedByHand,omitempty"` // a person accepted a rewritten history up to here
	Accepted  []string             `json:"accepted,omitempty"`       // the newest commits that were in force, newest last
	Fleets    map[string]keptFleet `json:"fleets"`
}

type keptFleet struct {
	Revision  string    `json:"revision"`
	Committed time.Time `json:"committed"`
	Released  bool      `json:"released,omitempty"`
}

func (k keeper) index() string                  { return filepath.Join(k.dir, "accepted.json") }
func (k keeper) archive(revision string) string { return filepath.Join(k.dir, revision+".zip") }

// read returns what was kept; the zero value when nothing was. Damage is an error: going on as if nothing had ever been
// accepted is for a person to decide.
func (k keeper) read() (kept, error) {
	text, err := os.ReadFile(k.index())
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("cannot read the accepted commit: %w", err)
	}
	var found kept
	if err := json.Unmarshal(text, &found); err != nil || !isRevision(found.Revision) {
		return kept{}, fmt.Errorf("the accepted commit in %s cannot be understood: move the file away to start from the branch's head", k.index())
	}
	if found.Schema > keptSchema {
		return kept{}, fmt.Errorf("%s was written by a newer windlass (schema %d, this one knows %d): run that version", k.index(), found.Schema, keptSchema)
	}
	return found, nil
}

// load reads the fleets of a kept commit again.
func (k keeper) load(revision string, load loader) (desired.Tree, error) {
	archive, err := zip.OpenReader(k.archive(revision))
	if err != nil {
		return desired.Tree{}, fmt.Errorf("cannot read the kept files of commit %s: %w", revision, err)
	}
	defer archive.Close()
	return load(archive)
}

// write keeps the accepted commit and the files that were read from it, in this order, so that what accepted.json names is
// always there. Archives that no version needs any more are removed afterwards; one left behind does no harm.
func (k keeper) write(accepted kept, files *treeFS) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	archive, err := pack(files)
	if err != nil {
		return fmt.Errorf("cannot keep the files of commit %s: %w", accepted.Revision, err)
	}
	if err := durable.Replace(k.archive(accepted.Revision), archive); err != nil {
		return fmt.Errorf("cannot keep the files of commit %s: %w", accepted.Revision, err)
	}
	text, err := json.MarshalIndent(accepted, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	if err := durable.Replace(k.index(), append(text, '\n')); err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	k.prune(accepted)
	return nil
}

// pack zips exactly the files that were read, and the directories whose presence counts.
func pack(files *treeFS) ([]byte, error) {
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	if _, err := archive.Create(fleetsDir + "/"); err != nil {
		return nil, err
	}
	for _, name := range files.names() {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		entry, err := archive.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return packed.Bytes(), err
}

func (k keeper) prune(accepted kept) {
	needed := map[string]bool{k.archive(accepted.Revision): true}
	for _, fleet := range accepted.Fleets {
		needed[k.archive(fleet.Revision)] = true
	}
	archives, _ := filepath.Glob(k.archive("*"))
	for _, path := range archives {
		if !needed[path] && isRevision(strings.TrimSuffix(filepath.Base(path), ".zip")) {
			os.Remove(path)
		}
	}
}
