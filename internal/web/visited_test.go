package web

import (
	"slices"
	"testing"

	"windlass/reconciler/plan"
)

// A node that was prepared and serves on is visited when it leaves, in whatever order the preparing ended.
func TestNodesAreNamedInTheOrderOfTheirTurns(t *testing.T) {
	t.Parallel()
	var steps []Foreseen
	for _, s := range []struct {
		kind plan.Kind
		node string
	}{
		{plan.Prepare, "c"}, {plan.Prepare, "b"}, {plan.Restore, "b"}, {plan.Restore, "c"}, {plan.Restore, "a"}, {plan.Leave, "c"}, {plan.Drain, "c"},
		{plan.Leave, "b"}, {plan.Add, "c"}, {plan.Configure, "b"}, {plan.Prove, "d"},
	} {
		steps = append(steps, Foreseen{Kind: string(s.kind), Node: s.node})
	}
	if got := visited(steps); !slices.Equal(got, []string{"a", "c", "b"}) {
		t.Errorf("%v", got)
	}
	if got := visited(nil); got == nil || len(got) > 0 {
		t.Errorf("%#v: JSON wants an empty list", got)
	}
}
