package gitrepo

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	Named     []string             `json:"namedByHand,omitempty"`    // the commits of it that were named with --accept-revision
	Verified  bool                 `json:"verified,omitempty"`       // all up to Revision was verified, or a person accepted it: what follows can be
	Roots     []string             `json:"rootsByHand,omitempty"`    // commits that were named with --accept-revision for that
	Accepted  []string             `json:"accepted,omitempty"`       // the newest commits that were in force, newest last
	Fleets    map[string]keptFleet `json:"fleets"`
}

type keptFleet struct {
	Revision  string         `json:"revision"`
	Committed time.Time      `json:"committed"`
	Change    desired.Commit `json:"change,omitzero"` // zero: kept by a windlass that did not note it
	Released  bool           `json:"released,omitempty"`
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

// write keeps the accepted commit after the files that were read from the commits it needs, by their hashes, so that what
// accepted.json names is always there. Archives that no version needs any more are removed afterwards; one left behind does no
// harm.
func (k keeper) write(accepted kept, files map[string]*treeFS) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	needed := accepted.commits()
	for _, revision := range slices.Sorted(maps.Keys(files)) {
		if !needed[revision] {
			continue
		}
		if err := k.writeArchive(revision, files[revision]); err != nil {
			return fmt.Errorf("cannot keep the files of commit %s: %w", revision, err)
		}
	}
	text, err := json.MarshalIndent(accepted, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	if err := durable.Replace(k.index(), append(text, '\n')); err != nil {
		return fmt.Errorf("cannot keep the accepted commit: %w", err)
	}
	k.prune(needed)
	return nil
}

func (k keeper) writeArchive(revision string, files *treeFS) error {
	archive, err := pack(files)
	if err != nil {
		return err
	}
	return durable.Replace(k.archive(revision), archive)
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

// commits are those whose files are needed: the accepted one's, and each that a fleet's version is of.
func (k kept) commits() map[string]bool {
	needed := map[string]bool{k.Revision: true}
	for _, fleet := range k.Fleets {
		needed[fleet.Revision] = true
	}
	return needed
}

func (k keeper) prune(needed map[string]bool) {
	archives, _ := filepath.Glob(k.archive("*"))
	for _, path := range archives {
		if revision := strings.TrimSuffix(filepath.Base(path), ".zip"); !needed[revision] && isRevision(revision) {
			os.Remove(path)
		}
	}
}
