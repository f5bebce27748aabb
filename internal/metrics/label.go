package metrics

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// most is how many bytes a label's value may have: as long as a release name may be.
const most = 128

// label makes s fit for a label. Names the rest of windlass accepts stay as they are; text that is too long or not printable
// is cut and cleaned, and marked with its hash, so that two such texts remain two series.
func label(s string) string {
	if len(s) <= most && utf8.ValidString(s) && strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	sum := fnv.New32a()
	sum.Write([]byte(s))
	mark := fmt.Sprintf("~%08x", sum.Sum32())
	clean := strings.Map(func(c rune) rune {
		if unprintable(c) {
			return '_'
		}
		return c
	}, s[:min(len(s), most)])
	return strings.ToValidUTF8(clean[:min(len(clean), most-len(mark))], "") + mark
}

func unprintable(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) }

// short is a revision as people abbreviate it: a label tells revisions apart, it is not where they are kept.
func short(revision string) string { return label(revision[:min(len(revision), 12)]) }
