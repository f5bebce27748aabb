package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// What is kept at most. The file does not outgrow mostBytes whatever the entries are; 1,000 of them take some 600 kB.
const (
	MostEntries = 1000 // of a fleet, the newest
	mostFleets  = 256
	mostBytes   = 256 << 20
)

// In the file: a bucket with the format's version, and one with a bucket for each fleet, that holds entries as JSON by their keys.
var (
	formatBucket = []byte("format")
	versionKey   = []byte("version")
	fleetsBucket = []byte("fleets")
)

const format = "1"

// A Store is the file. Its methods may be called from several goroutines.
type Store struct {
	db      *bbolt.DB
	damaged atomic.Bool // found while it was used: from then on it is left alone
}

// Close lets go of the file. A damaged one is left as it is: the library may still hold its locks.
func (s *Store) Close() error {
	if s.damaged.Load() {
		return nil
	}
	return s.db.Close()
}

// Add keeps entries, all or none, for good when it returns nil. A rollout that is kept already stays as it was told first. What is over the
// bounds goes: of a fleet the oldest entries, and of fleets those that are not among present, and that have not moved for the longest.
func (s *Store) Add(present []string, entries ...Entry) error {
	return s.use(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			fleets := tx.Bucket(fleetsBucket)
			for _, e := range entries {
				if err := put(fleets, e); err != nil {
					return err
				}
			}
			return prune(fleets, present)
		})
	})
}

func put(fleets *bbolt.Bucket, e Entry) error {
	fleet, err := fleets.CreateBucketIfNotExists([]byte(e.Fleet))
	if err != nil {
		return fmt.Errorf("fleet %q: %w", e.Fleet, err)
	}
	if fleet.Get(e.key()) != nil {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := fleet.Put(e.key(), text); err != nil {
		return err
	}
	return trim(fleet)
}

// trim drops a fleet's oldest entry when there is one too many. The bucket's sequence counts all that were ever put there.
func trim(fleet *bbolt.Bucket) error {
	if put, err := fleet.NextSequence(); err != nil || put <= MostEntries {
		return err
	}
	oldest, _ := fleet.Cursor().First()
	return fleet.Delete(bytes.Clone(oldest)) // the library's own is good until the next change
}

// A past is when a fleet moved last.
type past struct {
	fleet, newest []byte
	present       bool
}

// prune drops whole fleets.
func prune(fleets *bbolt.Bucket, present []string) error {
	var all []past
	err := fleets.ForEachBucket(func(name []byte) error {
		newest, _ := fleets.Bucket(name).Cursor().Last()
		all = append(all, past{bytes.Clone(name), bytes.Clone(newest), slices.Contains(present, string(name))})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b past) int {
		if a.present != b.present {
			return map[bool]int{false: -1, true: 1}[a.present]
		}
		return cmp.Or(bytes.Compare(a.newest, b.newest), bytes.Compare(a.fleet, b.fleet))
	})
	for _, p := range all[:max(0, len(all)-mostFleets)] {
		if err := fleets.DeleteBucket(p.fleet); err != nil {
			return err
		}
	}
	return nil
}

// Newest is a fleet's entries, the newest first, at most so many. It is empty for a fleet of which none is kept. An entry that cannot be
// understood any more is left out: the library does not notice a bit that was turned over in one.
func (s *Store) Newest(fleet string, most int) ([]Entry, error) {
	var found []Entry
	err := s.use(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			of := tx.Bucket(fleetsBucket).Bucket([]byte(fleet))
			if of == nil {
				return nil
			}
			c := of.Cursor()
			for key, text := c.Last(); key != nil && len(found) < most; key, text = c.Prev() {
				var e Entry
				if json.Unmarshal(text, &e) == nil {
					found = append(found, e)
				}
			}
			return nil
		})
	})
	return found, err
}

// use has f use the file, unless that was found damaged.
func (s *Store) use(f func() error) error {
	if s.damaged.Load() {
		return errDamaged
	}
	err := guarded(f)
	if errors.Is(err, errDamaged) {
		s.damaged.Store(true)
	}
	return err
}
