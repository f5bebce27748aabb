package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"windlass/internal/durable"
	"windlass/internal/history"
	"windlass/reconciler"
)

const (
	keptSchema = 1
	keepPace   = time.Second // at least this long between two writes
)

// A keptFile is what this agent tells its next start about each fleet, for people: when a rollout began, and why. Without it a
// rollout goes on just the same, and counts from when the next start sees it.
type keptFile struct {
	Schema int                        `json:"schema"`
	Fleets map[string]reconciler.Kept `json:"fleets"`
}

func (d *stateDir) keptPath() string    { return filepath.Join(d.path, "rollouts.json") }
func (d *stateDir) historyPath() string { return filepath.Join(d.path, "history.db") }

// kept is what the last start left. What cannot be read, or cannot be, is not known.
func (d *stateDir) kept(log *slog.Logger) map[string]reconciler.Kept {
	text, err := os.ReadFile(d.keptPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var file keptFile
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err == nil && file.Schema != keptSchema {
		err = fmt.Errorf("schema %d is not known to this version", file.Schema)
	}
	if err != nil {
		log.Warn("cannot read when the newest rollouts began; what is under way counts from now", "file", d.keptPath(), "error", err)
		return nil
	}
	maps.DeleteFunc(file.Fleets, func(_ string, k reconciler.Kept) bool { return !plausible(k, time.Now()) })
	return file.Fleets
}

// plausible reports whether an earlier start can have known this: clocks are set back, and files edited.
func plausible(k reconciler.Kept, now time.Time) bool {
	r := k.Rollout
	switch {
	case k.PausedAt.After(now), r.PausedAt.After(now), r.LastProgress.After(now), r.Ended.After(now), r.Longest.Since.After(now), r.Longest.Until.After(now):
		return false
	case r.Started.After(r.LastProgress), r.Completed < 0, r.Completed > r.Planned, r.Paused < 0:
		return false
	case !r.Started.IsZero() && !slices.Contains(reconciler.Triggers[:], r.Trigger):
		return false
	}
	return r.Ended.IsZero() || !r.Ended.Before(r.Started) && slices.Contains(reconciler.Results[:], r.Result)
}

// keep writes what is to be kept whenever that changed, until ctx ends. What ended is in the history before a snapshot without it is kept:
// of a rollout that a kill lost to the history the next start still knows that it was under way, and tells of its end again.
func (d *stateDir) keep(ctx context.Context, core *reconciler.Agent, record *history.Recorder, log *slog.Logger) {
	var written []byte
	write := func() {
		s := core.Snapshot()
		record.Write(namesOf(s))
		written = d.keepNow(s, written, log)
	}
	for ctx.Err() == nil {
		changed := core.Changed()
		write()
		select {
		case <-ctx.Done():
		case <-changed:
			pause(ctx, keepPace)
		}
	}
	write()
}

func namesOf(s reconciler.Snapshot) []string {
	names := make([]string, len(s.Fleets))
	for i, f := range s.Fleets {
		names[i] = f.Name
	}
	return names
}

// keepNow writes what a snapshot says, unless that is what was written last, and returns it. Before git said which fleets there
// are, a snapshot says nothing.
func (d *stateDir) keepNow(s reconciler.Snapshot, written []byte, log *slog.Logger) []byte {
	if s.Repo.Revision == "" {
		return written
	}
	file := keptFile{Schema: keptSchema, Fleets: map[string]reconciler.Kept{}}
	for _, f := range s.Fleets {
		file.Fleets[f.Name] = f.Keep()
	}
	text, err := json.Marshal(file)
	if err == nil && !bytes.Equal(text, written) {
		err = durable.Replace(d.keptPath(), append(text, '\n'))
	}
	if err != nil {
		log.Warn("cannot keep when rollouts began; a restart will count them from then", "file", d.keptPath(), "error", err)
	}
	return text
}

// pause waits for as long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
