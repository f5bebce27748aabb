package sandbox

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"windlass/desired"
	"windlass/internal/cage"
)

// caged holds what stands in for commands in a cage: for what a cage cannot have (systemd, a network, other users).
//
//go:embed caged
var caged embed.FS

// cagedStandIns is what stands in, in words.
var cagedStandIns = map[string]string{
	"sudo":      "whoever is logged in is root of the cage already",
	"systemctl": "a unit's program is run without systemd; where it is not there, windlass serves the ports of the checks itself",
	"curl":      "what it would fetch is a dummy, as a cage has no network",
	"wget":      "what it would fetch is a dummy, as a cage has no network",
	"chown":     "everything belongs to root, as only root can make cages with other users",
	"chgrp":     "everything belongs to root, as only root can make cages with other users",
}

// standInsHere are those that cages made by this process have. Those with a way out fetch with this machine's own programs.
func standInsHere(network bool) map[string]string {
	all := maps.Clone(cagedStandIns)
	if cage.WholeIDs() {
		delete(all, "chown")
		delete(all, "chgrp")
	}
	if network {
		delete(all, "curl")
		delete(all, "wget")
	}
	return all
}

// oneScript has commands that another one's script stands in for as well.
var oneScript = map[string]string{"wget": "curl", "chgrp": "chown"}

// programs are the scripts that stand in.
func programs(network bool) (map[string][]byte, error) {
	all := map[string][]byte{}
	for name := range standInsHere(network) {
		script, err := caged.ReadFile("caged/" + cmp.Or(oneScript[name], name))
		if err != nil {
			return nil, err
		}
		all[name] = script
	}
	return all, nil
}

// What is in a cage besides.
const (
	dummyArchive = cage.Dir + "/dummy.tar.gz"
	pagesFile    = cage.Dir + "/pages.json"
	failFile     = cage.Dir + "/fail" // while it is there, the rehearsal's check fails
	holdFile     = cage.Dir + "/hold" // while it is there, the rehearsal's step goes on
)

// dummy is the archive that is had instead of a release: it is empty but for a word.
func dummy() ([]byte, error) {
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	archive := tar.NewWriter(compressed)
	text := []byte("a dummy of windlass up\n")
	err := archive.WriteHeader(&tar.Header{Name: "DUMMY", Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0)})
	if err == nil {
		_, err = archive.Write(text)
	}
	err = errors.Join(err, archive.Close(), compressed.Close())
	return packed.Bytes(), err
}

// A cagedConfig is what a node in a cage is told.
type cagedConfig struct {
	HostKey    []byte
	Authorized string
	SSHPort    int
	Network    bool // there is a way out
}

// RunCaged is what the windlass binary does in a cage, by its arguments: a stage of becoming one, a node, or the service that stands
// in for one.
func RunCaged(ctx context.Context, args []string) error {
	if len(args) > 0 && args[len(args)-1] == "serve" {
		return serveStandIn(ctx)
	}
	return cage.Enter(append([]string{"cage"}, args...), runCagedNode)
}

// runCagedNode serves SSH on the cage's loopback, where it is reached over the cage.
func runCagedNode(ctx context.Context, spec json.RawMessage, ready func()) error {
	var config cagedConfig
	if err := json.Unmarshal(spec, &config); err != nil {
		return err
	}
	hostKey, err := ssh.ParsePrivateKey(config.HostKey)
	if err != nil {
		return fmt.Errorf("cannot use its host key: %w", err)
	}
	authorized, _, _, _, err := ssh.ParseAuthorizedKey([]byte(config.Authorized))
	if err != nil {
		return fmt.Errorf("cannot use the authorized key: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(config.SSHPort)))
	if err != nil {
		return err
	}
	ready()
	env := []string{"PATH=" + cage.SearchPath, "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh"}
	if config.Network {
		env = append(env, proxyEnvironment()...)
	}
	return newSSHServer("/root", loopback, hostKey, authorized, env).serve(ctx, listener)
}

const loopback = "127.0.0.1"

// A page is what the service that stands in answers on a path. Where no check says so, it tells its release and node.
type page struct {
	Path, Body string
	Status     int
}

// pagesOf are what the checks of a fleet want to see, by port.
func pagesOf(f *desired.Fleet, ports []int) map[int][]page {
	pages := map[int][]page{}
	for _, port := range ports {
		pages[port] = nil
	}
	for _, c := range f.Health {
		switch {
		case c.HTTP != nil:
			pages[c.HTTP.Port] = append(pages[c.HTTP.Port], page{Path: c.HTTP.Path, Status: c.HTTP.Status, Body: c.HTTP.Body})
		case c.TCP != nil && pages[c.TCP.Port] == nil:
			pages[c.TCP.Port] = nil
		}
	}
	return pages
}

// readPages are what the checks of the fleet want to see now.
func readPages() (map[int][]page, error) {
	text, err := os.ReadFile(pagesFile)
	if err != nil {
		return nil, fmt.Errorf("cannot stand in for a service: %w; this command is only for windlass up to start", err)
	}
	var pages map[int][]page
	return pages, json.Unmarshal(text, &pages)
}

// serveStandIn is the service of a unit whose program is not there: it answers on all ports of the fleet's checks as they want it, with
// the release that the step named which started it. Ports that another service has are that one's.
func serveStandIn(ctx context.Context) error {
	ports, err := readPages()
	if err != nil {
		return err
	}
	release, node := os.Getenv("WINDLASS_RELEASE"), os.Getenv("WINDLASS_NODE")
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		<-ctx.Done()
		return nil
	})
	for port := range ports {
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return err // the process ends
		}
		answer := func(w http.ResponseWriter, r *http.Request) {
			pages, err := readPages()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			pageHandler(pages[port], release, node).ServeHTTP(w, r)
		}
		server := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: keepAlive}
		work.Go(func() error { return server.Serve(listener) })
		context.AfterFunc(ctx, func() { server.Close() })
	}
	return work.Wait()
}

func pageHandler(pages []page, release, node string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusOK, release+" on "+node
		for _, p := range slices.Backward(pages) {
			if p.Path == r.URL.RequestURI() {
				status, body = p.Status, desired.Expand(p.Body, release, node)+" "+body
			}
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, strings.TrimSpace(body))
	})
}
