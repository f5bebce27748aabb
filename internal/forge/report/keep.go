package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"windlass/internal/durable"
)

const keptSchema = 1

// kept is the file of a book.
type kept struct {
	Schema int    `json:"schema"`
	Where  string `json:"where"`
	book
}

// load is the book that the last start left, or an empty one where there is none, it cannot be understood, or it is another repository's. All it costs
// is that something is told twice.
func (r *Reporter) load() book {
	text, err := os.ReadFile(r.File)
	if errors.Is(err, fs.ErrNotExist) {
		return book{}
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err == nil && k.Schema != keptSchema {
		err = fmt.Errorf("schema %d is not known to this version", k.Schema)
	}
	if err != nil {
		r.Log.Warn("cannot read what the forge was told; it is told anew", "file", r.File, "error", err)
		return book{}
	}
	if k.Where != r.Where {
		return book{}
	}
	r.saved = text
	return k.book
}

// save writes the book, unless it is on disk as it is. Without it things are told twice after a restart, and that is all.
func (r *Reporter) save() {
	text, err := json.Marshal(kept{keptSchema, r.Where, r.book})
	if err == nil {
		if text = append(text, '\n'); bytes.Equal(text, r.saved) {
			return
		}
		err = durable.Replace(r.File, text)
	}
	if err == nil {
		r.saved, r.unkept = text, false
		return
	}
	if !r.unkept {
		r.Log.Warn("cannot keep what the forge was told; a restart may tell it twice", "file", r.File, "error", err)
	}
	r.unkept = true
}
