package sandbox

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
)

// savesSeen is how often files are looked at, and looksPart that looks take at most one part in so many of the time, however many files
// there are. A change counts when the next look finds the same, so that no half of it is taken.
const (
	savesSeen = 150 * time.Millisecond
	looksPart = 10
)

// watchSaves tells of every change of the files below a directory since it had that signature. Several at once are one.
func watchSaves(ctx context.Context, work *sync.WaitGroup, dir string, told uint64) <-chan struct{} {
	saves := make(chan struct{}, 1)
	work.Go(func() {
		look := time.NewTimer(savesSeen)
		defer look.Stop()
		last := told
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			began := time.Now()
			now := signature(dir)
			look.Reset(max(savesSeen, looksPart*time.Since(began)))
			if now == last && now != told {
				told = now
				select {
				case saves <- struct{}{}:
				default:
				}
			}
			last = now
		}
	})
	return saves
}

// signature changes when a file below dir, git's own apart, does: its name, size, mode or when it was written. No link is followed but
// dir itself.
func signature(dir string) uint64 {
	sum := fnv.New64a()
	_ = filepath.WalkDir(dir+"/.", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is seen when it can be
		}
		if entry.Name() == git.GitDirName && entry.IsDir() {
			return fs.SkipDir
		}
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			fmt.Fprintln(sum, path, info.Size(), info.Mode(), info.ModTime().UnixNano())
		}
		return nil
	})
	return sum.Sum64()
}
