package clone

import (
	"context"
	"errors"
	"testing"
)

// A remote that is away for a moment when it is asked what became of a push is asked again, by whatever way it is reached.
func TestOneAnswerMayBeLost(t *testing.T) {
	t.Parallel()
	for lost, known := range map[int]bool{1: true, 2: false} {
		asked := 0
		err := push(t.Context(), pushing{
			commit: "c", push: func(context.Context) error { return nil },
			ask: func(context.Context) (string, error) {
				if asked++; asked <= lost {
					return "", errors.New("no network")
				}
				return "c", nil
			},
		})
		if (err == nil) != known || asked != 2 {
			t.Errorf("%d answers were lost: %v, asked %d times", lost, err, asked)
		}
	}
}
