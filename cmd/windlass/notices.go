package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"windlass/internal/metrics"
	"windlass/internal/notify"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// notices are what people are told of rollouts, by the file of --notify. Without one (nil) nobody is.
type notices struct {
	file     notify.File
	notifier *notify.Notifier
	series   *metrics.Notifications
}

func (d *stateDir) notifiedPath() string { return filepath.Join(d.path, "notified.json") }

// openNotices reads the file, when one is given.
func openNotices(path string) (*notices, error) {
	if path == "" {
		return nil, nil
	}
	file, err := notify.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use --notify %s: %w", path, err)
	}
	return &notices{file: file}, nil
}

// join makes the notifier of an agent that has its core.
func (n *notices) join(a *agent) (err error) {
	if n == nil {
		return nil
	}
	n.series = metrics.NewNotifications(n.file.Services(), notify.Triggers(), n.channels)
	options := notify.Options{
		File: n.file, Memory: notify.OpenMemory(a.state.notifiedPath(), a.log), Source: a.source,
		Observe: n.series.Attempt, Touch: a.core.Touch, Log: a.log,
	}
	if a.past != nil {
		options.Past = a.past
	}
	n.notifier, err = notify.New(options)
	return err
}

func (n *notices) channels() []metrics.Channel {
	var all []metrics.Channel
	for _, s := range n.notifier.States() {
		all = append(all, metrics.Channel{Name: s.Channel, Service: s.Service, Failing: s.Failing})
	}
	return all
}

func (n *notices) run(ctx context.Context) {
	if n != nil {
		n.notifier.Run(ctx)
	}
}

func (n *notices) rolloutDone(d reconciler.RolloutDone) {
	if n != nil {
		n.notifier.RolloutDone(d)
	}
}

// report adds to a snapshot which channels cannot be told, and which are named by a fleet and not there.
func (n *notices) report(s *reconciler.Snapshot) {
	var file notify.File
	if n != nil {
		file = n.file
		s.Repo.Reports = append(s.Repo.Reports, n.notifier.Problems()...)
	}
	for i, f := range s.Fleets {
		for _, says := range file.Unknown(f.Notify) {
			s.Fleets[i].Holds = append(slices.Clone(s.Fleets[i].Holds), plan.Hold{Reason: says})
		}
	}
}
