package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"windlass/internal/forge"
)

const (
	pace     = 15 * time.Second // at least, from one text of a commit and fleet to the next
	perPace  = 40               // after so many it doubles
	mostPace = 24 * time.Hour
	mostTold = forge.MostStatuses * 9 / 10 // of a commit and fleet; the rest is for endings
)

// pause is how long a line is left alone after it was told so often: a rollout of a year is told in some 830 statuses.
func pause(count int) time.Duration {
	return time.Duration(min(float64(mostPace), float64(pace)*math.Pow(2, float64(count/perPace))))
}

// due is when the forge is to be told what the line says; never where it was.
func (l line) due(retells bool) (at time.Time, ever bool) {
	same := l.Told.State == l.Want.State && (l.Told.Text == l.Want.Text || !retells)
	switch {
	case l.Want.State == "" || same || l.Refused != "":
		return time.Time{}, false
	case l.Told.State == "":
		return time.Time{}, true
	case l.Want.ends() && l.Told.State != l.Want.State:
		return l.At.Add(pace), l.Count < forge.MostStatuses
	}
	return l.At.Add(pause(l.Count)), l.Count < mostTold
}

// due reports whether the forge is to be told of the deployment.
func (d deployment) due() bool { return d.Refused == "" && d.Told.State != d.Want.State }

// A write is what is to be told next: a line or a deployment, by its place in the book. The zero value is nothing.
type write struct {
	line, deployment int       // from 1
	at               time.Time // not before
	failed           int       // times in a row; of what can be told now, what failed least goes first, so that it holds nothing else up
	rank             int       // then the lowest
}

func (w write) none() bool { return w.line == 0 && w.deployment == 0 }

// The ranks of writes.
const (
	ending = iota
	rollouts
	progress
)

// A lane is what a forge may refuse by itself: a token may write one and not the other.
type lane int

const (
	statuses lane = iota
	deployments
	lanes
)

// next is what is to be told next, and when. A lane is open from a time on.
func (b *book) next(now time.Time, open [lanes]time.Time) write {
	var all []write
	for i, l := range b.Lines {
		at, ever := l.due(b.retells)
		if !ever {
			continue
		}
		if l.At.After(now) { // the clock was set back
			at = now
		}
		w := write{line: i + 1, at: latest(now, at, open[statuses]), failed: l.failed, rank: progress}
		if l.Want.ends() {
			w.rank = ending
		}
		all = append(all, w)
	}
	for i, d := range b.Deployments {
		if d.due() {
			all = append(all, write{deployment: i + 1, at: latest(now, open[deployments]), failed: d.failed, rank: rollouts})
		}
	}
	if len(all) == 0 {
		return write{}
	}
	return slices.MinFunc(all, func(x, y write) int {
		return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.failed, y.failed), cmp.Compare(x.rank, y.rank))
	})
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
