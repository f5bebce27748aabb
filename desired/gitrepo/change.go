package gitrepo

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/object"

	"windlass/desired"
	"windlass/internal/redact"
)

// mostSaid is how many characters are kept of an author's name and of a subject.
const mostSaid = 200

// versionAfter is the fleet as commit has it. A commit that leaves what the fleet's file says as it was before is not its change.
func versionAfter(before desired.Version, fleet *desired.Fleet, commit *object.Commit) desired.Version {
	version := desired.Version{
		Fleet: fleet, Revision: commit.Hash.String(), Committed: dateOf(commit),
		Change: commitOf(commit),
	}
	if before.Change.Revision != "" && !before.Released && before.Fleet.Same(fleet) {
		version.Change = before.Change
	}
	return version
}

// dateOf is when a commit was made, or zero where that is no date: commits may have any, and only years up to 9999 can be kept.
func dateOf(commit *object.Commit) time.Time {
	const day = 24 * 60 * 60
	when := commit.Committer.When
	if _, offset := when.Zone(); offset <= -day || offset >= day {
		when = when.UTC()
	}
	if year := when.UTC().Year(); year < 1 || year > 9998 { // in any time zone
		return time.Time{}
	}
	return when
}

// said is the first line of what somebody wrote in a commit, fit to be kept.
func said(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	first = strings.ToValidUTF8(redact.Line(first), "\uFFFD")
	if utf8.RuneCountInString(first) > mostSaid {
		first = string([]rune(first)[:mostSaid-1]) + "…"
	}
	return first
}
