package window_test

import (
	"fmt"
	"testing"

	"windlass/desired/window"
)

// What one look costs: for the windows people write, and for the worst that New takes, which has an end each quarter of an hour and never shuts.
func BenchmarkAt(b *testing.B) {
	var tiles []window.Rule
	for i := range window.MostRules - 4 {
		end := (i + 1) * 15
		tiles = append(tiles, allow(fmt.Sprintf("%02d:%02d-%02d:%02d", i*15/60, i*15%60, end/60, end%60)))
	}
	office, freeze := allow("Mon-Fri 09:00-16:00"), deny("2026-12-20/2027-01-02")
	usual := set(b, "Europe/Berlin", freeze, office)
	for _, c := range []struct {
		name string
		set  window.Set
		now  string
	}{
		{"none", window.Set{}, "2026-11-30T12:00Z"},
		{"open", usual, "2026-11-30T12:00Z"},
		{"evening", usual, "2026-11-30T18:00Z"},
		{"freeze", usual, "2026-12-20T12:00Z"},
		{"summer", usual, "2027-06-30T12:00Z"},
		{"never", set(b, "Europe/Berlin", office, deny("Mon-Fri 08:00-17:00")), "2026-11-30T12:00Z"},
		{"worst", set(b, "Europe/Berlin", tiles...), "2026-11-30T12:00Z"},
	} {
		b.Run(c.name, func(b *testing.B) {
			now := at(b, c.now)
			b.ReportAllocs()
			for b.Loop() {
				c.set.At(now)
			}
		})
	}
}
