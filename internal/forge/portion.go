package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"windlass/desired/source"
	"windlass/internal/outbound"
)

// Bounds of a list that is read.
const (
	perPage     = 100
	mostReports = 1000
	mostPages   = 25 // a Gitea may show fewer than it is asked for
)

// A report is one of those that a forge keeps of a commit. Of two of the same kind, name and app the one with the greater id is newer.
type report struct {
	id int64
	source.Check
}

// A portion is a page of a list of reports.
type portion struct {
	reports []report
	total   int // of the whole list, as the forge says; negative: it does not
}

// A reader makes a portion of an answer, or says why it is none: it is no forge's, or speaks of something else.
type reader func(answer outbound.Answer) (portion, error)

// list reads a list to its end. What cannot be read to the end is an error, not a part of it: the report that matters may be the one that is missing.
func (c *Client) list(ctx context.Context, what string, at *url.URL, size string, read reader) ([]report, error) {
	query := at.Query()
	query.Set(size, strconv.Itoa(perPage))
	var all []report
	for n := 1; n <= mostPages; n++ {
		query.Set("page", strconv.Itoa(n))
		at.RawQuery = query.Encode()
		page, err := c.portion(ctx, what, at.String(), read)
		if err != nil {
			return nil, err
		}
		all = append(all, page.reports...)
		switch {
		case page.total > mostReports || len(all) > mostReports:
			return nil, c.untold(what, "has more than %d of them, of which the newest cannot be told", mostReports)
		case page.total >= 0 && len(all) >= page.total, page.total < 0 && len(page.reports) == 0:
			return all, nil
		case len(page.reports) == 0:
			return nil, c.untold(what, "says that it has %d of them, and shows %d", page.total, len(all))
		}
	}
	return nil, c.untold(what, "has more than %d pages of them, of which the newest cannot be told", mostPages)
}

// portion reads a page, or what is kept of it when the forge says that it is the same still.
func (c *Client) portion(ctx context.Context, what, address string, read reader) (portion, error) {
	known, is := c.kept.of(address)
	request := outbound.Request{Method: http.MethodGet, URL: address}
	if is {
		request.Header = http.Header{"If-None-Match": {known.tag}}
	}
	answer, err := c.ask(ctx, what, request, nil)
	if err != nil {
		return portion{}, err
	}
	if answer.Status == http.StatusNotModified {
		return known.portion, nil
	}
	page, err := read(answer)
	if err != nil {
		return portion{}, err
	}
	if slices.ContainsFunc(page.reports, func(r report) bool { return r.id <= 0 }) { // which of them is newer could not be told
		return portion{}, c.stranger(what)
	}
	c.kept.keep(keptAnswer{address: address, tag: answer.Header.Get("ETag"), portion: page})
	return page, nil
}

// untold is the refusal of an answer that nothing can be told from.
func (c *Client) untold(what, format string, args ...any) *Refusal {
	return &Refusal{Says: fmt.Sprintf("cannot %s: %s ", what, c.Place) + fmt.Sprintf(format, args...)}
}

// counted is how many a header says that there are in the whole list; negative: it does not.
func counted(header http.Header, name string) int {
	n, err := strconv.Atoi(header.Get(name))
	if err != nil || n < 0 {
		return -1
	}
	return n
}
