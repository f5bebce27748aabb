package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// A Source is where the code of releases is: a repository that has a tag for each, and a forge that tells how their checks went.
type Source struct {
	URL string // of the repository

	repo   *git.Repository
	server *http.Server
	ended  chan struct{}

	mu     sync.Mutex
	checks map[plumbing.Hash]checkRun
	runs   int64
}

// A checkRun is the newest of a commit.
type checkRun struct {
	id    int64
	state string
}

// The one check that commits have, and the app that reports it.
const (
	CheckName = "test"
	CheckApp  = "demo-ci"
)

const (
	sourcePath = "/demo/web"
	forgeAPI   = "/api/v3"
	forgeToken = "token-of-the-demo's-forge"
)

// newSource makes an empty repository in dir, and serves it and its forge at that loopback address.
func newSource(dir, address string) (*Source, error) {
	bare := filepath.Join(dir, "web.git")
	repo, err := git.PlainInitWithOptions(bare, &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: branch}, Bare: true})
	if err != nil {
		return nil, fmt.Errorf("cannot make the repository of the code: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, fmt.Errorf("cannot serve the repository of the code: %w", err)
	}
	s := &Source{URL: "http://" + listener.Addr().String() + sourcePath + ".git", repo: repo, ended: make(chan struct{}), checks: map[plumbing.Hash]checkRun{}}
	mux := http.NewServeMux()
	mux.Handle("/", newGitServer(bare).handler(sourcePath+".git", sourcePath+".git"))
	mux.HandleFunc("GET "+forgeAPI+"/repos"+sourcePath+"/commits/{commit}/status", s.statuses)
	mux.HandleFunc("GET "+forgeAPI+"/repos"+sourcePath+"/commits/{commit}/check-runs", s.checkRuns)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener) // always ends with ErrServerClosed
	}()
	forges := fmt.Sprintf("%s: {kind: github, tokenFile: forge-token, api: 'http://%[1]s%s'}\n", listener.Addr(), forgeAPI)
	err = errors.Join(os.WriteFile(filepath.Join(dir, "forge-token"), []byte(forgeToken), 0o600), os.WriteFile(filepath.Join(dir, "forges.yaml"), []byte(forges), 0o600))
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close stops serving.
func (s *Source) close() error {
	err := s.server.Close()
	<-s.ended
	return err
}

// Tag adds a commit to the branch, and the tag of a release on it. Its check is in a state: how it stands (queued, in_progress) or how it ended. Nobody
// may read the repository meanwhile.
func (s *Source) Tag(release, state string) error {
	commit, err := s.commit("Release " + release)
	if err == nil {
		err = s.repo.Storer.SetReference(plumbing.NewHashReference(branch, commit))
	}
	if err == nil {
		s.run(commit, state)
		_, err = s.repo.CreateTag(release, commit, &git.CreateTagOptions{Tagger: taggedBy(), Message: "Release " + release})
	}
	if err != nil {
		return fmt.Errorf("cannot tag %s in the repository of the code: %w", release, err)
	}
	return nil
}

// Run has the check of a release run once more: it is in a state.
func (s *Source) Run(release, state string) error {
	commit, err := s.repo.ResolveRevision(plumbing.Revision("refs/tags/" + release))
	if err != nil {
		return fmt.Errorf("cannot run the check of %s: %w", release, err)
	}
	s.run(*commit, state)
	return nil
}

func (s *Source) run(commit plumbing.Hash, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.checks[commit] = checkRun{id: s.runs, state: state}
}

func taggedBy() *object.Signature {
	return &object.Signature{Name: authorName, Email: authorMail, When: time.Now()}
}

// commit adds a commit of an empty tree to what the branch has.
func (s *Source) commit(message string) (plumbing.Hash, error) {
	tree, err := s.store(&object.Tree{})
	if err != nil {
		return tree, err
	}
	var parents []plumbing.Hash
	if head, err := s.repo.Reference(branch, true); err == nil {
		parents = append(parents, head.Hash())
	}
	return s.store(&object.Commit{Author: *taggedBy(), Committer: *taggedBy(), Message: message, TreeHash: tree, ParentHashes: parents})
}

func (s *Source) store(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := s.repo.Storer.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.repo.Storer.SetEncodedObject(encoded)
}

// statuses answers as GitHub does of a commit that nobody has set a status of.
func (s *Source) statuses(w http.ResponseWriter, r *http.Request) {
	answer(w, r, map[string]any{"state": "pending", "sha": r.PathValue("commit"), "total_count": 0, "statuses": []any{}})
}

// checkRuns answers as GitHub does.
func (s *Source) checkRuns(w http.ResponseWriter, r *http.Request) {
	commit := r.PathValue("commit")
	s.mu.Lock()
	run, is := s.checks[plumbing.NewHash(commit)]
	s.mu.Unlock()
	runs := []map[string]any{}
	if name := r.FormValue("check_name"); is && (name == "" || name == CheckName) {
		status, conclusion := "completed", any(run.state)
		if run.state == "queued" || run.state == "in_progress" {
			status, conclusion = run.state, nil
		}
		runs = append(runs, map[string]any{
			"id": run.id, "name": CheckName, "head_sha": commit, "status": status, "conclusion": conclusion, "app": map[string]any{"slug": CheckApp},
		})
	}
	answer(w, r, map[string]any{"total_count": len(runs), "check_runs": runs})
}

// answer answers who has the token.
func answer(w http.ResponseWriter, r *http.Request, value any) {
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+forgeToken {
		w.WriteHeader(http.StatusUnauthorized)
		value = map[string]string{"message": "Bad credentials"}
	}
	_ = json.NewEncoder(w).Encode(value) // who has gone does not hear it
}

// openSource serves the code's repository, which has a release that the nodes run from the first day.
func (f *Fleet) openSource(context.Context) (err error) {
	if !f.options.Source {
		return nil
	}
	if f.Source, err = newSource(f.Dir, f.network.address(1)); err != nil {
		return err
	}
	f.onClose(f.Source.close)
	return f.Source.Tag(f.options.Release, "success")
}
