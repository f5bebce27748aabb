package desired

import (
	"bytes"
	"io/fs"
	"time"
)

// heldFiles are files in memory, in one directory that cannot be listed: who reads them knows what they are called.
type heldFiles map[string][]byte

// Open opens a file; fs.ErrNotExist: there is none of that name.
func (h heldFiles) Open(name string) (fs.File, error) {
	content, ok := h[name]
	if !ok || !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &heldFile{heldInfo{name, int64(len(content))}, bytes.NewReader(content)}, nil
}

type heldFile struct {
	heldInfo
	*bytes.Reader
}

func (f *heldFile) Stat() (fs.FileInfo, error) { return f.heldInfo, nil }
func (f *heldFile) Close() error               { return nil }
func (f *heldFile) Size() int64                { return f.size }

type heldInfo struct {
	name string
	size int64
}

func (i heldInfo) Name() string       { return i.name }
func (i heldInfo) Size() int64        { return i.size }
func (i heldInfo) Mode() fs.FileMode  { return 0o444 }
func (i heldInfo) ModTime() time.Time { return time.Time{} }
func (i heldInfo) IsDir() bool        { return false }
func (i heldInfo) Sys() any           { return nil }
