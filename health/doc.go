// Package health judges whether something is well from samples of it.
//
// It knows nothing of how a sample was taken (health/probe) nor of what follows from the verdict (reconciler/plan).
package health
