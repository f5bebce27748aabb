// Package metrics is what Prometheus sees of the agent.
//
// States come from one snapshot per scrape, so a scrape is consistent and nothing outlives what it describes; events are
// counted as they are told, from zero for every fleet that is known. It decides and remembers nothing else. Which series
// there are is a contract with dashboards and alerts: a name, a label or a unit that changes breaks them in silence.
//
// Labels hold names and members of fixed sets, never sentences, digests or full revisions.
package metrics
