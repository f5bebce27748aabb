// Package follow tells what becomes of a fleet, as its agent shows it: whether what somebody deployed has come to its end, and line by line what
// changed on the way. It only reads what the agent tells; how that is heard, and what is done at the end, is for who follows.
package follow
