package desired

import "strings"

// Placeholders of a check's text that are replaced before it is used.
const (
	ReleasePlaceholder = "{release}"
	NodePlaceholder    = "{node}"
)

func containsRelease(s string) bool { return strings.Contains(s, ReleasePlaceholder) }
