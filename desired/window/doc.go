// Package window says whether an instant is inside the windows in which a fleet may be changed, why not, and when that changes.
//
// It knows the rules of one `windows:`, their time zone, and nothing else: where they are written and what is wrong with the file
// around them belongs to desired, and what a shut window holds back to reconciler/plan.
//
// A window is decided by the wall clock, never by a start and a length, so that one whose start is no time of that day is not lost with it
// (wall.go). Doubt opens nothing: of a time that exists twice a deny rule covers both, an allow rule only what is in both.
//
// Zone data is the machine's, or the program's own where it imports time/tzdata.
package window
