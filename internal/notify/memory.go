package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"windlass/desired"
	"windlass/internal/durable"
)

const (
	memorySchema = 1
	mostThreads  = 4 * mostPastOf // of a fleet and channel, the newest: more than are known at once, as what is forgotten is told again
)

// A thread is what a channel was told of a rollout.
type thread struct {
	Started time.Time          `json:"started"`          // of the rollout
	Posted  bool               `json:"posted,omitempty"` // its first message is there
	Place   string             `json:"place,omitempty"`
	Told    []desired.Occasion `json:"told,omitempty"`
	Waited  time.Time          `json:"waited,omitzero"`  // when it was last told that the rollout waits
	Says    string             `json:"says,omitempty"`   // what the first message says, as a digest
	Unsure  string             `json:"unsure,omitempty"` // the message that is being said, or may have been
	Gone    bool               `json:"gone,omitempty"`   // its first message cannot be changed any more
	Closed  bool               `json:"closed,omitempty"` // its end was told
	Held    hold               `json:"held,omitzero"`    // it began with the message about that

	updated time.Time // when its first message was changed last; this and the next are of this process alone
	tries
}

// tries are those in vain of a message.
type tries struct {
	tried  time.Time // the last
	unsure int       // that may have been said
	due    time.Time // when it may be said again, if it may have been
}

// again notes one more, and reports whether it is to be the last. What a place asks to wait for says nothing of the message. taken is when the place took
// any message last; harmless are repeats that are seen to be the same.
func (t *tries) again(f *Failure, harmless bool, taken, now time.Time) bool {
	refused := f.Refused && !t.tried.IsZero() && taken.After(t.tried)
	if f.Wait == 0 {
		t.tried = now
	}
	if f.Unsure && !harmless {
		t.due = now.Add(unsurePause << (2 * t.unsure))
		t.unsure++
	}
	return refused || t.unsure >= mostUnsure
}

func (t *thread) told(on desired.Occasion) bool { return slices.Contains(t.Told, on) }

// A hold is what kept a rollout from beginning, as it was told.
type hold struct {
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
	Place string    `json:"place,omitempty"` // of the message that tells; empty: it cannot be replied to
}

// A book is what a channel was told of a fleet.
type book struct {
	Since    time.Time          `json:"since"`              // it hears of the fleet
	Small    time.Time          `json:"small,omitzero"`     // when it last was told that nodes drifted, or came
	Rejected string             `json:"rejected,omitempty"` // the errors it was told of, as a digest
	Held     string             `json:"held,omitempty"`     // what it was told of that cannot begin, as the digest of that, and whether somebody has to do something
	Hold     hold               `json:"hold,omitzero"`      // why that cannot begin
	Threads  map[string]*thread `json:"threads"`            // by id of the rollout

	taken time.Time // when the channel last took a message of the fleet; this and the next are of this process alone
	tries           // of what its file's errors are told by
}

// trim forgets the oldest threads.
func (b *book) trim() {
	for len(b.Threads) > mostThreads {
		oldest := ""
		for id, t := range b.Threads {
			if oldest == "" || t.Started.Before(b.Threads[oldest].Started) {
				oldest = id
			}
		}
		delete(b.Threads, oldest)
	}
}

// books are what a channel was told, by fleet.
type books map[string]*book

// taken is when the channel last took a message.
func (b books) taken() (at time.Time) {
	for _, one := range b {
		if one.taken.After(at) {
			at = one.taken
		}
	}
	return at
}

// A Memory is what all channels were told, in a file. Its methods may be called side by side.
type Memory struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    memoryFile
	failing bool // the newest write failed, and that was said
}

type memoryFile struct {
	Schema   int              `json:"schema"`
	Channels map[string]books `json:"channels"`
}

// OpenMemory reads the file at path. Where there is none, or none that can be understood, everything that is under way is told anew; the log says so.
func OpenMemory(path string, log *slog.Logger) *Memory {
	m := &Memory{path: path, log: log}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &m.file)
	}
	if err == nil && m.file.Schema != memorySchema {
		err = fmt.Errorf("schema %d is not known to this version", m.file.Schema)
	}
	if err != nil {
		m.file = memoryFile{}
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("cannot read what channels were told; what is under way is told anew", "file", path, "error", err)
		}
	}
	m.file.Schema = memorySchema
	if m.file.Channels == nil {
		m.file.Channels = map[string]books{}
	}
	return m
}

// of is what a channel was told, for its worker alone.
func (m *Memory) of(channel string) books {
	m.mu.Lock()
	defer m.mu.Unlock()
	var mine books
	if text, err := json.Marshal(m.file.Channels[channel]); err == nil { // a copy
		_ = json.Unmarshal(text, &mine) // its own words
	}
	if mine == nil {
		mine = books{}
	}
	for name, b := range mine {
		if b == nil {
			delete(mine, name)
			continue
		}
		for id, t := range b.Threads {
			if t == nil {
				delete(b.Threads, id)
			}
		}
	}
	return mine
}

// only forgets channels that there are no more.
func (m *Memory) only(channels []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.file.Channels {
		if !slices.Contains(channels, name) {
			delete(m.file.Channels, name)
		}
	}
}

// keep writes what a channel was told, for good, and reports whether it could. What cannot be written is remembered while the process lives; the log is told once, until something
// can be written again.
func (m *Memory) keep(channel string, told books) bool {
	text, err := json.Marshal(told)
	var copied books
	if err == nil {
		err = json.Unmarshal(text, &copied)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.file.Channels[channel] = copied
		text, err = json.Marshal(m.file)
	}
	if err == nil {
		err = durable.Replace(m.path, append(text, '\n'))
	}
	if err != nil && !m.failing {
		m.log.Warn("cannot keep what channels were told; after a restart some of it is told again", "file", m.path, "error", err)
	}
	m.failing = err != nil
	return err == nil
}
