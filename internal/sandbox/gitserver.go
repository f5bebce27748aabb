package sandbox

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// A gitServer serves one bare repo over git's smart HTTP protocol, for fetches and pushes. Its repo is read anew for each
// request, so that it may change in any way between two of them.
type gitServer struct {
	transport transport.Transport
	endpoint  *transport.Endpoint

	mu sync.RWMutex // go-git's storage is not made to be read while it is written
}

func newGitServer(bare string) *gitServer {
	return &gitServer{
		transport: server.NewServer(server.DefaultLoader),
		endpoint:  &transport.Endpoint{Protocol: "file", Path: bare},
	}
}

// handler answers for the repo: fetches at a path such as /deploy.git, and both at another one, which may be the same.
func (s *gitServer) handler(fetches, pushes string) http.Handler {
	mux := http.NewServeMux()
	for _, path := range slices.Compact([]string{fetches, pushes}) {
		mux.HandleFunc("GET "+path+"/info/refs", answering(s.advertise))
		mux.HandleFunc("POST "+path+"/git-upload-pack", answering(s.upload))
	}
	mux.HandleFunc("POST "+pushes+"/git-receive-pack", answering(s.receive))
	return mux
}

// answering turns an error into an answer. One in the middle of a pack cuts the answer off, which git notices.
func answering(serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		if err := serve(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// A conversation is a session of either service.
type conversation interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
}

func (s *gitServer) advertise(w http.ResponseWriter, r *http.Request) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	service := r.URL.Query().Get("service")
	session, err := s.session(service)
	if err != nil {
		return err
	}
	refs, err := session.AdvertisedReferencesContext(r.Context())
	if err != nil {
		return err
	}
	if err := refs.Capabilities.Set(noThin); err != nil {
		return err
	}
	refs.Prefix = [][]byte{fmt.Appendf(nil, "# service=%s", service), pktline.Flush}
	w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
	return refs.Encode(w)
}

// noThin tells git to push whole packs: go-git cannot complete one whose deltas refer to what is here already.
const noThin capability.Capability = "no-thin"

func (s *gitServer) session(service string) (conversation, error) {
	switch service {
	case transport.UploadPackServiceName:
		return s.transport.NewUploadPackSession(s.endpoint, nil)
	case transport.ReceivePackServiceName:
		return s.transport.NewReceivePackSession(s.endpoint, nil)
	}
	return nil, fmt.Errorf("service %q is not known", service)
}

func (s *gitServer) upload(w http.ResponseWriter, r *http.Request) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	session, err := s.transport.NewUploadPackSession(s.endpoint, nil)
	if err != nil {
		return err
	}
	body, err := bodyOf(r)
	if err != nil {
		return err
	}
	request := packp.NewUploadPackRequest()
	if err := request.Decode(body); err != nil {
		return err
	}
	answer, err := session.UploadPack(r.Context(), request)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	return answer.Encode(w)
}

func (s *gitServer) receive(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, err := s.transport.NewReceivePackSession(s.endpoint, nil)
	if err != nil {
		return err
	}
	body, err := bodyOf(r)
	if err != nil {
		return err
	}
	request := packp.NewReferenceUpdateRequest()
	if err := request.Decode(body); err != nil {
		return err
	}
	report, err := session.ReceivePack(r.Context(), request)
	if report == nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	return report.Encode(w)
}

// bodyOf is what the client sent; git compresses what is long.
func bodyOf(r *http.Request) (io.Reader, error) {
	if r.Header.Get("Content-Encoding") == "gzip" {
		return gzip.NewReader(r.Body)
	}
	return r.Body, nil
}
