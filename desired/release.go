package desired

import "strings"

// ReleaseVariable is the environment variable that tells a step or a command check the release.
const ReleaseVariable = "WINDLASS_RELEASE"

// Placeholders of a check's text that are replaced before it is used.
const (
	ReleasePlaceholder = "{release}"
	NodePlaceholder    = "{node}"
)

// Expand replaces {release} and {node} in a check's text.
func Expand(text, release, node string) string {
	return strings.NewReplacer(ReleasePlaceholder, release, NodePlaceholder, node).Replace(text)
}

// Found reports whether the check's text, expanded, stands in answer. A release counts only as a whole word: where the
// text begins or ends with it, or with a word that it is part of, the answer must not go on with a letter, a digit or one
// of . _ + -, so that v1.2 is not found in v1.2.1.
func Found(answer, text, release, node string) bool {
	want := Expand(text, release, node)
	if want == "" {
		return true
	}
	first, last := strings.Index(text, ReleasePlaceholder), strings.LastIndex(text, ReleasePlaceholder)
	atStart := first >= 0 && wordOnly(Expand(text[:first], release, node))
	atEnd := first >= 0 && wordOnly(Expand(text[last+len(ReleasePlaceholder):], release, node))
	for from := 0; ; {
		i := strings.Index(answer[from:], want)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(want)
		startsWord := start == 0 || !wordByte(answer[start-1])
		endsWord := end == len(answer) || !wordByte(answer[end])
		if (startsWord || !atStart) && (endsWord || !atEnd) {
			return true
		}
		from = start + 1
	}
}

func wordOnly(s string) bool {
	for i := range len(s) {
		if !wordByte(s[i]) {
			return false
		}
	}
	return true
}

// wordByte reports whether b can be part of a release.
func wordByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("._+-", b) >= 0
}
