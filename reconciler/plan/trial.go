package plan

import (
	"cmp"
	"slices"
	"time"

	"windlass/actuators"
)

// awaitProof returns the nodes under way for something else that do not get the wanted version yet: a gate holds its first node, or it is not
// proven, and as many as may be lost to it get it before them (law 11). They finish what they are at, or go back. Nodes that serve nobody as they are come first.
func (k *known) awaitProof() map[string]bool {
	if k.wave.proven() || !k.mayChange() {
		return nil
	}
	room, others := k.wave.unproven, []*view{}
	if !k.gates.start.none() {
		room = 0
	}
	for i := range k.views {
		v := &k.views[i]
		switch {
		case k.gets(v), v.opaque():
			room--
		case v.moving && v.rec.Stage != actuators.Preparing:
			others = append(others, v)
		}
	}
	slices.SortStableFunc(others, func(a, b *view) int { return cmp.Compare(k.turnOf(a), k.turnOf(b)) })
	waits := map[string]bool{}
	for _, v := range others {
		if room--; room < 0 {
			waits[v.Name] = true
		}
	}
	return waits
}

// gets reports whether the node has the wanted version, is getting it, or was lost to it.
func (k *known) gets(v *view) bool {
	unwritten := v.doing() == Configure && (v.Busy == "" || v.Read.At.Before(v.Node.Since)) // whatever its record is to say
	on := k.Is(v.rec.On) && v.moving
	return unwritten || on || k.hasPlace(v) || v.rec.Stage == actuators.Failed && k.lost(v)
}

// longUnread is since when a node cannot be read that lets others go before it.
const longUnread = 2 * time.Minute

// turnOf orders nodes by how little they lose: those that failed, those that are being changed, those that have left, those that are to leave,
// those on their way back. Who is chosen stays so while nothing is done: a reading that fails now and then changes nothing.
func (k *known) turnOf(v *view) int {
	switch {
	case v.Read.Err != "" && k.Now.Sub(v.Read.At) > longUnread:
		return 5
	case v.rec.Spoiled:
		return 0
	case v.rec.Stage == actuators.Configuring:
		return 1
	case v.rotation == out:
		return 2
	case v.rec.Stage == actuators.Leaving:
		return 3
	}
	return 4
}

// refuseUntried is the refusal of a node that waits for the wanted version to be proven.
func (k *known) refuseUntried() refusal {
	return cmpRefusal(k.gates.start, refusal{ByProof, k.whyUnproven()})
}
