// Package desired holds what git says a fleet should be: the fleet file's nouns, how it is parsed, merged with its base,
// validated and digested.
//
// Everything here is a function of bytes. Reading a repository belongs to desired/gitrepo, deciding what to do about a
// difference belongs to reconciler/plan, and what the world looks like belongs to actuators.
//
// A fleet file goes through Load in this order: its YAML becomes a tree of values that know where they stand (parse.go),
// which is merged over its bases (merge.go), checked against fleet.schema.yaml (schema.go, explain.go) and for what no
// schema can say (validate.go), and becomes a Fleet with every default filled in (decode.go). Fleets are then compared
// with each other (conflict.go). Every mistake points to the place in the file where it was made.
package desired
