package gitrepo

import (
	"reflect"
	"strings"
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
		Fleet: fleet, Revision: commit.Hash.String(), Committed: commit.Committer.When,
		Change: desired.Commit{
			Revision: commit.Hash.String(), Committed: commit.Committer.When,
			Author: said(commit.Author.Name), Subject: said(commit.Message),
		},
	}
	if before.Change.Revision != "" && !before.Released && reflect.DeepEqual(before.Fleet, fleet) {
		version.Change = before.Change
	}
	return version
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
