package live

import "windlass/reconciler/plan"

// A colour is one of a terminal's.
type colour string

const (
	none   colour = ""
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// paint is text that a terminal shows in the colour.
func (c colour) paint(text string) string {
	if c == none || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func stateColour(s plan.State) colour {
	switch s {
	case plan.InService:
		return green
	case plan.Failed, plan.Unreachable, plan.Missing:
		return red
	case plan.Outdated:
		return none
	}
	return yellow
}

func phaseColour(p plan.Phase) colour {
	switch p {
	case plan.PhaseIdle:
		return green
	case plan.PhaseHalted, plan.PhaseInvalid:
		return red
	}
	return yellow
}
