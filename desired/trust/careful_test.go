package trust

import (
	"errors"
	"testing"
)

// A library that panics at what somebody pushed refuses it, and ends nothing.
func TestCareful(t *testing.T) {
	t.Parallel()
	if _, err := careful(func() (int, error) { var none []byte; return int(none[0]), nil }); !errors.Is(err, errBeyond) {
		t.Errorf("a panic: %v", err)
	}
	if n, err := careful(func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("no panic: %d, %v", n, err)
	}
}

// What cannot be told is never a yes.
func TestOnlyASignatureThatWasVerifiedCounts(t *testing.T) {
	t.Parallel()
	if no := verdictOf(Signer{}, nil); no != nil {
		t.Errorf("a good one: %v", no)
	}
	why := refused(Expired, "too late")
	for want, err := range map[Reason]error{Expired: why, Malformed: errBeyond} {
		if no := verdictOf(Signer{Name: "ann"}, err); no == nil || no.Reason != want {
			t.Errorf("%v: %+v, want %s", err, no, want)
		}
	}
	if no := verdictOf(Signer{}, (*Refusal)(nil)); no == nil {
		t.Error("an error that holds no refusal counts as none")
	}
}
