// Package example is the deploy repo that people copy, as files for internal/sandbox, which plays it, and for internal/scaffold, which
// writes one of somebody's own. Besides this file there are only tests that keep it from rotting; a copy of the repo does without both.
package example

import "embed"

// Files is what a fleet of the example is made of: base, fleets, files and the schema for editors.
//
//go:embed base fleets files fleet.schema.json
var Files embed.FS

// Around is what else belongs into a deploy repo: what its forge runs, what Prometheus and Grafana read, and the agent's own settings.
//
//go:embed README.md .github .gitlab-ci.yml agent monitoring/README.md monitoring/*.yaml monitoring/dashboard.json
var Around embed.FS
