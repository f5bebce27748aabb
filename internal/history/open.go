package history

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var errDamaged = errors.New("it is damaged")

const (
	lockPatience = 500 * time.Millisecond // for another process to let go of the file: none should hold it, as the state directory is locked
	openPatience = 5 * time.Second        // for the disk
)

// Open opens the file at path, or a new one. It returns nil where there can be none, and says why in the log, once: rollouts go on without.
// What is damaged is moved to path.damaged, in place of what was there, and a new file begun. One that a newer windlass wrote, that
// somebody else holds, or that cannot be read or written is left as it is.
func Open(path string, log *slog.Logger) *Store {
	s, err := within(patience(path), func() (*Store, error) { return open(path) })
	if errors.Is(err, errDamaged) {
		if s, err = anew(path, err, log); err == nil {
			return s
		}
	}
	if err != nil {
		log.Warn("cannot open the history of rollouts; rollouts go on without one", "file", path, "error", err)
		return nil
	}
	return s
}

// anew puts a damaged file aside and begins a new one.
func anew(path string, why error, log *slog.Logger) (*Store, error) {
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return nil, errors.Join(why, err)
	}
	s, err := open(path)
	if err == nil {
		log.Warn("the history of rollouts is damaged; it is set aside, and a new one begins", "file", aside, "error", why)
	}
	return s, err
}

// patience is how long it may take to open the file and to read all of it, also from a slow disk.
func patience(path string) time.Duration {
	info, err := os.Stat(path)
	if err != nil {
		return openPatience
	}
	return openPatience + time.Duration(info.Size()>>20)*100*time.Millisecond
}

// within gives open up after that time. Nothing ends a cursor of the library that runs in circles: its goroutine is left behind, and takes
// memory until the process ends. The next one does not find that file any more.
func within(limit time.Duration, open func() (*Store, error)) (*Store, error) {
	type result struct {
		store *Store
		err   error
	}
	opened, late := make(chan result), make(chan struct{})
	defer close(late)
	go func() {
		s, err := open()
		select {
		case opened <- result{s, err}:
		case <-late:
			if s != nil {
				s.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		return r.store, r.err
	case <-time.After(limit):
		return nil, fmt.Errorf("%w: it was not read in %v", errDamaged, limit)
	}
}

// open opens the file and reads all of it, so that damage is found before anything is written. What the library refuses to open is
// damaged, unless the disk refused it, somebody else holds it, or it is too new or too large.
func open(path string) (s *Store, err error) {
	err = guarded(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockPatience, MaxSize: mostBytes, NoStatistics: true})
		if err != nil {
			var refused syscall.Errno
			if errors.As(err, &refused) || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrMaxSizeReached) {
				return err
			}
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if err := check(db); err != nil {
			return errors.Join(err, db.Close())
		}
		s = &Store{db: db}
		return nil
	})
	return s, err
}

// check reads every entry of a file that is in use, and makes a new one fit to be used.
func check(db *bbolt.DB) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		of, fleets := tx.Bucket(formatBucket), tx.Bucket(fleetsBucket)
		if fresh = of == nil && fleets == nil; fresh {
			return nil
		}
		if of == nil || fleets == nil {
			return fmt.Errorf("%w: it has no version", errDamaged)
		}
		if version := string(of.Get(versionKey)); version != format {
			return fmt.Errorf("it was written by another windlass, in format %q; this one knows %s", version, format)
		}
		return fleets.ForEachBucket(func(name []byte) error {
			return fleets.Bucket(name).ForEach(func(_, _ []byte) error { return nil })
		})
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		of, err := tx.CreateBucket(formatBucket)
		if err == nil {
			err = of.Put(versionKey, []byte(format))
		}
		if err == nil {
			_, err = tx.CreateBucket(fleetsBucket)
		}
		return err
	})
}

// guarded calls f and makes an error of its panic, or of a fault in what it has mapped into memory.
//
// Of 2,400 files damaged at random bbolt 1.5.0 refused a few and panicked on most, sooner or later, and never crashed the process. In one its
// cursor ran in circles (within). After a panic its locks and the open file may stay as they were: such a file is not used again by this
// process.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}
