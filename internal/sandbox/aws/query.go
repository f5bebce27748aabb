package aws

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"time"
)

// query is the form of a call, the moment of it, and the moment its reads are answered as of.
type query struct {
	url.Values
	now, asOf time.Time
	pageSize  int // cap of Faults
}

// list returns the values prefix.1, prefix.2 …
func (q query) list(prefix string) []string {
	var values []string
	for i := 1; q.Has(fmt.Sprintf("%s.%d", prefix, i)); i++ {
		values = append(values, q.Get(fmt.Sprintf("%s.%d", prefix, i)))
	}
	return values
}

// members returns the values of a member list.
func (q query) members(name string) []string { return q.list(name + ".member") }

// size returns the page size asked for under a name: between least and most, and most when none is.
func (q query) size(name string, least, most int, code string) (int, error) {
	size := most
	if asked := q.Get(name); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < least || n > most {
			return 0, refusal(code, "%s %q is not a number from %d to %d", name, asked, least, most)
		}
		size = n
	}
	if q.pageSize > 0 {
		size = min(size, q.pageSize)
	}
	return size, nil
}

// page returns the items after the one that a marker names, at most size of them, and the marker of the next page, empty
// at the end. The items are sorted by name.
func page[T any](items []T, name func(T) string, marker string, size int, code string) ([]T, string, error) {
	after, err := base64.URLEncoding.DecodeString(marker)
	if err != nil {
		return nil, "", refusal(code, "Invalid marker: %q", marker)
	}
	if marker != "" {
		items = items[sort.Search(len(items), func(i int) bool { return name(items[i]) > string(after) }):]
	}
	if len(items) <= size {
		return items, "", nil
	}
	return items[:size], base64.URLEncoding.EncodeToString([]byte(name(items[size-1]))), nil
}
