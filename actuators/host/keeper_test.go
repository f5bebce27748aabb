package host

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestOutputIsKeptUpToItsBound(t *testing.T) {
	t.Parallel()
	const end = "the end"
	for name, c := range map[string]struct {
		size        int
		lossy, fail bool
	}{
		"little":           {len(end), false, false},
		"as much as may":   {keptOutput, false, false},
		"a byte more":      {keptOutput + 1, false, true},
		"much more":        {5 * keptOutput, false, true},
		"its end":          {keptOutput + 1, true, false},
		"the end of much":  {5*keptOutput + 17, true, false},
		"little, anyway":   {len(end), true, false},
		"all that is read": {maxOutput, true, false},
	} {
		k := newKeeper(c.lossy)
		k.keep(newReportReader(io.MultiReader(io.LimitReader(letters{}, int64(c.size-len(end))), strings.NewReader(end))), nil)
		got, err := k.kept()
		if c.fail {
			if err == nil || !strings.Contains(err.Error(), "longer than 256 KiB; look for a login script") {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			continue
		}
		if err != nil || len(got) != min(c.size, keptOutput) || !bytes.HasSuffix(got, []byte(end)) {
			t.Errorf("%s: %d bytes, ending in %q, %v", name, len(got), got[max(0, len(got)-10):], err)
		}
		if len(k.bytes) > 2*keptOutput {
			t.Errorf("%s: %d bytes are held", name, len(k.bytes))
		}
	}
}

// A peer that floods us is not read for ever, and who takes the beginning takes it alone.
func TestOutputWithoutEndIsLeft(t *testing.T) {
	t.Parallel()
	k := newKeeper(true)
	var first byte
	k.keep(newReportReader(io.MultiReader(strings.NewReader("1"), letters{})), func(r *bufio.Reader) { first, _ = r.ReadByte() })
	<-k.done
	if first != '1' || k.total != maxOutput || k.bytes[0] != 'x' {
		t.Errorf("%d bytes were read after %q", k.total, first)
	}
	b, _ := k.kept()
	b[0] = 'y'
	if again, _ := k.kept(); again[0] != 'x' {
		t.Error("what was kept changes with what was returned of it")
	}
}

// letters has no end.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
