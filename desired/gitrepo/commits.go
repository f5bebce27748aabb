package gitrepo

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"
)

// commitCost is what a commit takes beside its text, in bytes.
const commitCost = 250

// A strainer takes a pack as it comes and keeps its commits and tags only: the files of a long history may be many times what a machine has
// memory for. A commit may be sent as a delta of another, and a tag of a tag, so their texts are kept until the pack has ended.
type strainer struct {
	scanner *packfile.Scanner
	store   *memory.Storage
	at      map[int64]plumbing.Hash // what is kept, by its offset in the pack

	// waiting are deltas of what is not kept yet. Git sends a delta after its base, and names that by its offset; a server
	// that does neither may have it wait for a commit. What waits until the end was of files.
	waiting map[plumbing.Hash][]delta

	packed, room, patience int64 // bytes left: for the pack's objects, for commits, for what waits
	limits                 limits
}

// A delta says how an object differs from its base.
type delta struct {
	offset  int64 // in the pack
	content []byte
}

// strain returns a store of the commits and tags in pack.
func strain(pack io.Reader, most limits) (*memory.Storage, error) {
	s := &strainer{
		scanner: packfile.NewScanner(pack), store: memory.NewStorage(),
		at: map[int64]plumbing.Hash{}, waiting: map[plumbing.Hash][]delta{},
		packed: most.history, room: most.commits, patience: most.commits / 8, limits: most,
	}
	_, count, err := s.scanner.Header()
	for ; err == nil && count > 0; count-- {
		err = s.next()
	}
	if err == nil {
		_, err = s.scanner.Checksum()
	}
	return s.store, err
}

// next takes the pack's next object. What is not read of it the scanner passes over.
func (s *strainer) next() error {
	object, err := s.scanner.NextObjectHeader()
	if err != nil {
		return err
	}
	if s.packed -= object.Length; s.packed < 0 {
		return tooLarge(s.limits.history)
	}
	switch object.Type {
	case plumbing.CommitObject, plumbing.TagObject:
		text, err := s.read(object)
		if err != nil {
			return err
		}
		return s.keep(object.Offset, object.Type, text)
	case plumbing.OFSDeltaObject:
		if base, known := s.at[object.OffsetReference]; known {
			return s.takeDelta(object, base)
		}
	case plumbing.REFDeltaObject:
		return s.takeDelta(object, object.Reference)
	}
	return nil
}

// takeDelta keeps what a delta makes of base, or the delta for later.
func (s *strainer) takeDelta(object *packfile.ObjectHeader, base plumbing.Hash) error {
	_, known := s.store.Objects[base]
	if !known {
		if s.patience -= object.Length + commitCost; s.patience < 0 {
			return nil
		}
	}
	content, err := s.read(object)
	switch {
	case err != nil:
		return err
	case known:
		return s.patch(base, delta{object.Offset, content})
	}
	s.waiting[base] = append(s.waiting[base], delta{object.Offset, content})
	return nil
}

// read returns what is in the object whose header was read last.
func (s *strainer) read(object *packfile.ObjectHeader) ([]byte, error) {
	if object.Length > s.room {
		return nil, s.tooMany()
	}
	var content bytes.Buffer
	_, _, err := s.scanner.NextObject(&content)
	return content.Bytes(), err
}

// patch keeps what a delta makes of base, which is of the same kind.
func (s *strainer) patch(base plumbing.Hash, d delta) error {
	_, n := binary.Uvarint(d.content) // a delta begins with the size of its base, and of what it makes of that
	size, m := binary.Uvarint(d.content[max(n, 0):])
	switch {
	case n <= 0 || m <= 0:
		return packfile.ErrInvalidDelta
	case size > uint64(s.room):
		return s.tooMany()
	}
	text, err := textOf(s.store, base)
	if err == nil {
		text, err = packfile.PatchDelta(text, d.content)
	}
	if err != nil {
		return err
	}
	return s.keep(d.offset, s.store.Objects[base].Type(), text)
}

// textOf is an object as it is stored.
func textOf(store *memory.Storage, hash plumbing.Hash) ([]byte, error) {
	object, known := store.Objects[hash]
	if !known {
		return nil, plumbing.ErrObjectNotFound
	}
	reader, err := object.Reader()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// keep keeps an object, and those that waited for it.
func (s *strainer) keep(offset int64, kind plumbing.ObjectType, text []byte) error {
	if s.room -= int64(len(text)) + commitCost; s.room < 0 {
		return s.tooMany()
	}
	object := &plumbing.MemoryObject{}
	object.SetType(kind)
	if _, err := object.Write(text); err != nil {
		return err
	}
	hash, err := s.store.SetEncodedObject(object)
	if err != nil {
		return err
	}
	s.at[offset] = hash
	waited := s.waiting[hash]
	delete(s.waiting, hash)
	for _, d := range waited {
		if err := s.patch(hash, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *strainer) tooMany() error {
	return fail(Other, "its commits alone take more than %d MB: move the fleets to a deploy repo with a shorter history", s.limits.commits>>20)
}
