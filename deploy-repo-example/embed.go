// Package example is the deploy repo that people copy, as files for internal/sandbox, which plays it. Besides this file there are
// only tests that keep it from rotting; a copy of the repo does without both.
package example

import "embed"

// Files is what a fleet of the example is made of: base, fleets, files and the schema for editors.
//
//go:embed base fleets files fleet.schema.json
var Files embed.FS
