package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"

	"windlass/actuators/host"
	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/health/probe"
	"windlass/internal/forge"
	"windlass/internal/history"
	"windlass/internal/metrics"
	"windlass/internal/web"
	"windlass/internal/web/access"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// An agent is the core with its adapters. Opening one changes nothing but its state directory.
type agent struct {
	options  agentOptions
	log      *slog.Logger
	state    *stateDir
	past     *history.Store // nil: there is no history
	record   *history.Recorder
	events   *metrics.Events
	repo     *gitrepo.Repo
	hosts    *host.Host
	listener net.Listener
	gate     *access.Gate // nil: no --web-config
	forges   forge.Hosts
	pages    forge.Pages
	forge    forgeReport
	told     *notices  // nil: no --notify
	hooks    *webhooks // nil: no --webhook-listen
	core     *reconciler.Agent
	source   *sight
	handler  http.Handler
}

// openAgent opens all that can fail before live state is touched, or nothing.
func openAgent(o agentOptions, log *slog.Logger) (a *agent, err error) {
	a = &agent{options: o, log: log}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if a.state, err = openStateDir(o.stateDir); err != nil {
		return a, err
	}
	a.past = history.Open(a.state.historyPath(), log)
	a.events = metrics.NewEvents()
	git := o.gitOptions(gitDir(o.stateDir))
	git.Observe = a.events.GitOperation
	if a.repo, err = gitrepo.Open(git); err != nil {
		return a, err
	}
	if a.hosts, err = host.New(host.Options{KeyFile: o.sshKey, KnownHosts: o.nodeKnownHosts(), Observe: a.events.SSHSession}); err != nil {
		return a, err
	}
	if a.forges, err = forge.Read(o.forges); err != nil {
		return a, err
	}
	a.pages = a.forges.PagesOf(o.repo)
	if a.forge, err = openForge(o, a.forges, a.state, log); err != nil {
		return a, err
	}
	if err = a.listen(); err != nil {
		return a, err
	}
	if a.hooks, err = openWebhooks(o, a.repo.Wake, log); err != nil {
		return a, err
	}
	if a.told, err = openNotices(o.notify); err != nil {
		return a, err
	}
	me, err := a.state.begin()
	if err != nil {
		return a, err
	}
	return a, a.join(me)
}

// listen reads who may ask, and takes the address when that is enough for it.
func (a *agent) listen() error {
	at, err := net.ResolveTCPAddr("tcp", a.options.listen)
	if err == nil && a.options.webConfig != "" {
		a.gate, err = access.Open(access.Options{File: a.options.webConfig, Public: web.Public(at.String()), Log: a.log})
		if err != nil {
			return err
		}
	}
	if err == nil {
		a.listener, err = net.Listen("tcp", at.String())
	}
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w; stop what listens there, or give another address with --listen", a.options.listen, err)
	}
	return nil
}

// join makes the core and what reports on it.
func (a *agent) join(me plan.Agent) error {
	deps := joined(a.options, me, a.hosts, a.repo, a.forges, a.events, a.log)
	deps.Kept = a.state.kept(a.log)
	a.record = history.NewRecorder(a.past, a.log)
	deps.Observer = audience{a.events, a.pages, a.record, a.forge, a.told}
	a.core = reconciler.New(deps)
	a.source = &sight{Agent: a.core, repo: a.repo, pages: a.pages}
	if err := a.told.join(a); err != nil {
		return err
	}
	source := &account{sight: a.source, forge: a.forge, told: a.told}
	b := thisBuild()
	series := metrics.NewRegistry(metrics.Build{Version: b.version, Revision: b.revision}, a.events, source, source.git)
	if a.gate != nil {
		series.MustRegister(metrics.WebConfig(a.gate.Problem))
	}
	if a.forge.Reporter != nil {
		series.MustRegister(a.forge.counts.Collectors(a.forge.Problems)...)
	}
	if a.told != nil {
		series.MustRegister(a.told.series)
	}
	if a.hooks != nil {
		series.MustRegister(a.hooks.series)
	}
	options := web.Options{
		Addr: a.listener.Addr().String(), Access: a.gate, Source: source, Metrics: metrics.Handler(series), Sight: a.core.Sight,
		Propose: a.repo.Propose, Earlier: a.repo.Earlier,
	}
	if a.past != nil {
		options.History = a.past
	}
	a.handler = web.New(options)
	return nil
}

// An audience is who is told what happens: the metrics of everything, the history and who is to be notified of rollouts that ended.
type audience struct {
	*metrics.Events
	pages   forge.Pages
	history *history.Recorder
	forge   forgeReport
	told    *notices
}

func (a audience) RolloutDone(d reconciler.RolloutDone) {
	d.Rollout.Link = link(a.pages, d.Rollout)
	a.Events.RolloutDone(d)
	a.history.RolloutDone(d)
	a.forge.RolloutDone(d)
	a.told.rolloutDone(d)
}

// joined is the world as the core takes it.
func joined(
	o agentOptions, me plan.Agent, hosts *host.Host, repo *gitrepo.Repo, forges forge.Hosts, events *metrics.Events, log *slog.Logger,
) reconciler.Deps {
	aws := &cloud{observe: events.AWSRequest}
	releases := releaseGate{newReleases(o.gitOptions(""), forges, o.gateInterval)}
	deps := reconciler.Deps{
		Agent: me, Inventory: aws, Balancer: aws, Host: hosts, Prober: probe.New(hosts), Sensor: hosts,
		Gatekeepers: []reconciler.Gatekeeper{releases, reconciler.Windows{Repo: true}, reconciler.Windows{}},
		History:     repo, Observer: events, Log: log, Interval: o.interval, Refresh: o.refresh, GatePause: o.gateInterval,
	}
	return deps
}

// run polls, reconciles and serves until ctx ends and every fleet has come to a safe point. What it serves is there until the end.
func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served, heard := make(chan error, 1), make(chan error, 1)
	secured, securedForAll := a.secured()
	go func() {
		defer cancel()
		served <- web.Serve(serving, a.listener, a.handler, secured, a.log)
	}()
	go func() {
		err := a.hooks.serve(serving, securedForAll)
		if err != nil {
			cancel()
		}
		heard <- err
	}()
	a.hooks.tell(securedForAll)
	a.log.Info("listening", "addr", a.listener.Addr().String(), "tls", secured != nil)
	tellSupervisor(daemon.SdNotifyReady, a.log)
	states := make(chan desired.State)
	var polling, keeping sync.WaitGroup
	if a.gate != nil {
		keeping.Go(func() { a.gate.Watch(serving) })
	}
	polling.Go(func() { a.poll(ctx, states) })
	polling.Go(func() {
		<-ctx.Done()
		tellSupervisor(daemon.SdNotifyStopping, a.log)
	})
	keeping.Go(func() { a.told.run(serving) })
	keeping.Go(func() { a.state.keep(serving, a.core, a.record, a.log) })
	if a.forge.Reporter != nil {
		keeping.Go(func() { a.forge.Run(serving, a.source) })
	}
	a.core.Run(ctx, states)
	polling.Wait()
	stopServing()
	keeping.Wait()
	return errors.Join(<-served, <-heard)
}

// secured is how TLS is spoken, and how with those who have no client certificate; nil: not at all.
func (a *agent) secured() (with, forAll *tls.Config) {
	if a.gate == nil {
		return nil, nil
	}
	return a.gate.TLS(), a.gate.TLSForAll()
}

// poll passes on what git says, and tells the log.
func (a *agent) poll(ctx context.Context, states chan<- desired.State) {
	var refused desired.Refusal
	_ = a.repo.Run(ctx, a.options.interval, func(s desired.State) { // its error is ctx's
		a.tell(s)
		a.tellRefused(s, refused)
		refused = s.Refused
		select {
		case states <- s:
		case <-ctx.Done():
		}
	})
}

func (a *agent) tell(s desired.State) {
	if s.Problem != "" {
		a.log.Warn("deploy repo", "problem", s.Problem, "in_force", s.Revision)
	} else {
		a.log.Info("commit in force", "revision", s.Revision, "fleets", len(s.Fleets))
	}
	for _, name := range sortedNames(s.Rejected) {
		for _, err := range s.Rejected[name].Errors {
			a.log.Warn("fleet file rejected", "fleet", name, "error", err)
		}
	}
}

// tellRefused tells of a commit that is not accepted for want of a signature, once.
func (a *agent) tellRefused(s desired.State, before desired.Refusal) {
	r := s.Refused
	if r.Reason == "" || r.Revision == before.Revision && r.Reason == before.Reason {
		return
	}
	a.log.Warn("commit refused", "commit", r.Revision, "author", r.Author, "reason", r.Reason, "in_force", s.Revision)
	for _, fleet := range sortedNames(s.Fleets) {
		a.events.Rejected(fleet, desired.ReasonSignature)
	}
}

// Close closes what was opened, the last first.
func (a *agent) Close() {
	a.hooks.close()
	if a.listener != nil {
		a.listener.Close()
	}
	a.forge.close()
	if a.hosts != nil {
		a.hosts.CloseAll()
	}
	if a.repo != nil {
		a.repo.Close()
	}
	if a.past != nil {
		a.past.Close()
	}
	if a.state != nil {
		a.state.Close()
	}
}
