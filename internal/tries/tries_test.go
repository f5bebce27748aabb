package tries_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"windlass/internal/tries"
)

// However many addresses fail, so many are remembered; the one whose minute ends first is forgotten.
func TestAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, first, second := tries.New(), tries.Address("192.0.2.1:5000"), tries.Address("192.0.2.2:5000")
		for range tries.Most {
			all.Fail(first)
		}
		time.Sleep(time.Millisecond)
		for range tries.Most {
			all.Fail(second)
		}
		for i := range 999 {
			time.Sleep(time.Millisecond)
			all.Fail(tries.Address(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)))
		}
		if all.Wait(first) > 0 || all.Wait(second) == 0 {
			t.Errorf("beside a thousand newer ones the first waits %s, the second %s", all.Wait(first), all.Wait(second))
		}
	})
}
