package follow

import "windlass/reconciler/plan"

// A Colour is one of a terminal's.
type Colour string

// The colours that states and words have.
const (
	Plain  Colour = ""
	Bold   Colour = "1"
	Dim    Colour = "2"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)

// Paint is text that a terminal shows in the colour.
func (c Colour) Paint(text string) string {
	if c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// StateColour is the colour of a node's state.
func StateColour(s plan.State) Colour {
	switch s {
	case plan.InService:
		return Green
	case plan.Failed, plan.Unreachable, plan.Missing:
		return Red
	case plan.Outdated:
		return Plain
	}
	return Yellow
}

// PhaseColour is the colour of a fleet's phase.
func PhaseColour(p plan.Phase) Colour {
	switch p {
	case plan.PhaseIdle:
		return Green
	case plan.PhaseHalted, plan.PhaseInvalid:
		return Red
	}
	return Yellow
}
