package sandbox

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A service is a node's web service. It serves the release that the node's directory `current` held when it was last
// started, and nothing while it restarts: like a service without graceful shutdown it drops what it has in hand.
type service struct {
	node    string
	home    string
	address string        // host:port
	startup time.Duration // from its end to its next beginning
}

// keepAlive is how long a connection may be silent, which is longer than a balancer keeps it: what is sent just when a target closes is lost.
const keepAlive = 2 * time.Minute

// What the service keeps for the restart-web command, below the node's home.
const (
	servicePID    = "run/web.pid"    // of the process to send SIGHUP
	serviceStarts = "run/web.starts" // how often it was started
)

// run serves until ctx ends, and restarts whenever it is told to. ready is called when the service was started for the first
// time. A node without a release has nothing to serve and waits.
func (s *service) run(ctx context.Context, restart <-chan os.Signal, ready func() error) error {
	for starts := 1; ; starts++ {
		stop, err := s.begin(starts)
		if err != nil {
			return fmt.Errorf("cannot start the web service of %s: %w", s.node, err)
		}
		if starts == 1 {
			err = ready()
		}
		if err == nil {
			select {
			case <-ctx.Done():
			case <-restart:
			}
		}
		if err := errors.Join(err, stop()); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.startup):
		}
	}
}

// begin starts the service and tells that it did.
func (s *service) begin(starts int) (stop func() error, err error) {
	if stop, err = s.start(); err != nil {
		return nil, err
	}
	if err := replaceFile(filepath.Join(s.home, serviceStarts), []byte(strconv.Itoa(starts)+"\n")); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// start begins to serve what is installed and returns how to end it.
func (s *service) start() (stop func() error, err error) {
	build, err := installed(s.home)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: s.handler(build), ReadHeaderTimeout: keepAlive, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return func() error {
		err := server.Close()
		<-ended
		return err
	}, nil
}

// handler answers as a service of that build does, and as late as the query says (takes=500ms). A build with a fault still knows its version.
func (s *service) handler(b Build) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, b.Serves) })
	answer := func(ok string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if b.Fault != "" {
				http.Error(w, b.Fault, http.StatusInternalServerError)
				return
			}
			fmt.Fprintln(w, ok)
		}
	}
	mux.Handle("GET /healthz", answer("ok"))
	page := answer(b.Serves + " on " + s.node)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		takes, err := time.ParseDuration(r.FormValue("takes"))
		if err != nil {
			takes = time.Millisecond + rand.N(9*time.Millisecond) // work takes time
		}
		select {
		case <-time.After(takes):
			page(w, r)
		case <-r.Context().Done():
		}
	})
	return mux
}

// replaceFile is at once: who reads it sees the old content or the new.
func replaceFile(name string, content []byte) error {
	if err := os.WriteFile(name+".new", content, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// A Build is what the artifact store holds for a release.
type Build struct {
	Release string
	Serves  string // what it says its version is; default Release
	Fault   string // not empty: its health check and its pages answer 500 with this
}

// publish puts the build into a store, where nodes fetch it by its release: as a directory, and as an archive with its checksum. What
// was published under that name before is replaced.
func (b Build) publish(store string) error {
	dir := filepath.Join(store, b.Release)
	err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	for name, text := range b.files() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
	}
	if err == nil {
		err = archive(dir, filepath.Join(store, "web-"+b.Release+".tar.gz"))
	}
	if err != nil {
		return fmt.Errorf("cannot publish %s: %w", b.Release, err)
	}
	return nil
}

// files are the text of each of the build's files.
func (b Build) files() map[string]string {
	files := map[string]string{"version": cmp.Or(b.Serves, b.Release)}
	if b.Fault != "" {
		files["fault"] = b.Fault
	}
	return files
}

// archive packs a directory's files, and writes the checksum beside the archive as sha256sum does.
func archive(dir, name string) error {
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	files := tar.NewWriter(compressed)
	err := errors.Join(files.AddFS(os.DirFS(dir)), files.Close(), compressed.Close())
	sum := fmt.Sprintf("%x  %s\n", sha256.Sum256(packed.Bytes()), filepath.Base(name))
	return errors.Join(err, os.WriteFile(name, packed.Bytes(), 0o644), os.WriteFile(name+".sha256", []byte(sum), 0o644))
}

// installed reads the build that a node's home has as current. The error is os.ErrNotExist when there is none.
func installed(home string) (Build, error) {
	serves, err := os.ReadFile(filepath.Join(home, "current", "version"))
	if err != nil {
		return Build{}, err
	}
	fault, err := os.ReadFile(filepath.Join(home, "current", "fault"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Build{}, err
	}
	return Build{Serves: strings.TrimSpace(string(serves)), Fault: strings.TrimSpace(string(fault))}, nil
}
