package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"windlass/desired"
	"windlass/desired/gitrepo"
	"windlass/desired/source"
	"windlass/desired/trust"
	"windlass/internal/forge"
	"windlass/reconciler/plan"
)

// releasesPause is how old what a server said of releases may be, where nothing says otherwise.
const releasesPause = 30 * time.Second

// newReleases makes a reader of releases. Their repositories are reached with the deploy repo's keys over ssh, and over https with the token that the
// file of --forges has for the host. A token goes to its own host alone.
func newReleases(git gitrepo.Options, hosts forge.Hosts, pause time.Duration) *source.Reader {
	if pause == 0 {
		pause = releasesPause
	}
	return source.NewReader(source.Options{
		Remote:  func(repository string) (source.Remote, error) { return openReleases(git, hosts, repository) },
		Forge:   func(repository string) (source.Forge, error) { return openChecks(hosts, repository) },
		Signers: readSigners,
		Pause:   pause,
	})
}

func openReleases(git gitrepo.Options, hosts forge.Hosts, repository string) (source.Remote, error) {
	o := gitrepo.Options{URL: repository, SSHKey: git.SSHKey, SSHAgent: git.SSHAgent, KnownHosts: git.KnownHosts}
	if place, ok := forge.Locate(repository); ok {
		if host, known := hosts.Of(place); known {
			o.TokenFile = host.TokenFile
		}
	}
	if o.TokenFile == "" && sameServer(git.URL, repository) {
		o.TokenFile = git.TokenFile
	}
	return gitrepo.NewReleases(o)
}

// sameServer reports whether two repositories are reached at one scheme, host and port.
func sameServer(a, b string) bool {
	one, err := url.Parse(a)
	other, err2 := url.Parse(b)
	return err == nil && err2 == nil && one.Host != "" && one.Scheme == other.Scheme && strings.EqualFold(one.Host, other.Host)
}

// openChecks finds the forge that reports of a repository's commits.
func openChecks(hosts forge.Hosts, repository string) (source.Forge, error) {
	place, ok := forge.Locate(repository)
	if !ok {
		return nil, fmt.Errorf("no checks can be read of %s, which is on no forge: leave out source.checks", repository)
	}
	host, ok := hosts.Of(place)
	if !ok {
		return nil, fmt.Errorf("no checks can be read, as host %s is in no file of --forges: add it there, with its kind and a token that may read them", place.Host)
	}
	c, err := forge.NewClient(host, place)
	if err != nil {
		return nil, err
	}
	return checks{c}, nil
}

// checks say how long a forge wants to be left alone.
type checks struct{ *forge.Client }

func (c checks) Checks(ctx context.Context, commit string, names []string) ([]source.Check, error) {
	found, err := c.Client.Checks(ctx, commit, names)
	var no *forge.Refusal
	if errors.As(err, &no) && no.Wait > 0 {
		return nil, &source.Later{Err: err, Wait: no.Wait}
	}
	return found, err
}

// readSigners reads who may sign releases. Its error is one line.
func readSigners(files fs.FS) (source.Signers, error) {
	keys, err := trust.Read(files)
	if err != nil {
		return nil, errors.New(strings.Join(trust.Lines(desired.ReleaseSignersDir, err), "; "))
	}
	return keys, nil
}

// releaseGate is the gate of what a fleet demands of its releases. It holds the start of a rollout: what began goes on.
type releaseGate struct{ reader *source.Reader }

// Gate is there where the fleet demands something of its releases.
func (g releaseGate) Gate(f *desired.Fleet) (plan.Gate, bool) {
	return plan.Gate{Name: "source", Stops: plan.StopsStart}, f.Source != nil
}

// Read is what is said of the wanted release. Nothing that cannot be told is an error here: the verdict says so in its own words.
func (g releaseGate) Read(ctx context.Context, want plan.Want) (plan.Gate, error) {
	v := g.reader.Read(ctx, source.Ask{Fleet: want.Fleet.Name, Release: want.Fleet.Release, Source: want.Fleet.Source})
	return plan.Gate{State: gateStates[v.State], Digest: want.Version.Digest, Commit: v.Commit, Reason: v.Reason, Until: v.Again}, nil
}

// Forget has a release be let through as another commit than the one it last was: it did not start as that one.
func (g releaseGate) Forget(want plan.Want) {
	g.reader.Forget(source.Ask{Fleet: want.Fleet.Name, Release: want.Fleet.Release, Source: want.Fleet.Source})
}

var gateStates = map[source.State]plan.GateState{source.Open: plan.GateOpen, source.Wait: plan.GateWait, source.Shut: plan.GateShut}
