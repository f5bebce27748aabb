// Package desired holds what git says a fleet should be: the fleet file's nouns, how it is parsed, merged with its base,
// validated and digested.
//
// Everything here is a function of bytes. Reading a repository belongs to desired/gitrepo, deciding what to do about a
// difference belongs to reconciler/plan, and what the world looks like belongs to actuators.
package desired
