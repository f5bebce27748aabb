// Package cage runs commands that nobody should run on the machine they work at: each cage is a machine of its own to what runs
// in it, made of Linux namespaces and of an overlay over this machine's programs that is thrown away.
//
// What belongs here: making a cage, speaking with it, ending it, and how it is sealed. What runs inside is the caller's. What a cage
// keeps apart, and from what it does not protect, is in docs/decisions/0036-cages.md. There is no cage on other systems than
// Linux, and none that is half made: Start returns an error then.
package cage
