package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"windlass/reconciler"
)

func (s *server) fleets(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, each(s.source.Snapshot().Fleets, FromStatus))
}

func (s *server) fleet(w http.ResponseWriter, r *http.Request) {
	wanted := r.PathValue("name")
	for _, status := range s.source.Snapshot().Fleets {
		if status.Name == wanted {
			answer(w, http.StatusOK, FromStatus(status))
			return
		}
	}
	answer(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("no fleet %q; /api/v1/fleets lists them", name(wanted))})
}

func (s *server) repo(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, FromRepo(s.source.Snapshot().Repo))
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(value)
}

// events sends the repo and every fleet, then each again whenever it changed ("repo", "fleet"), and the name of each fleet that
// went ("gone"). Changes that come faster than a client reads, or than pace, make one event.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	sent := map[string]string{}
	s.stream(w, r, func(to *stream, snapshot reconciler.Snapshot) error {
		if err := to.changed(sent, "repo", "", FromRepo(snapshot.Repo)); err != nil {
			return err
		}
		there := map[string]bool{"": true}
		for _, status := range snapshot.Fleets {
			there[status.Name] = true
			if err := to.changed(sent, "fleet", status.Name, FromStatus(status)); err != nil {
				return err
			}
		}
		return to.gone(sent, there)
	})
}

// changed sends value unless it is what was sent last under that key.
func (to *stream) changed(sent map[string]string, event, key string, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil || sent[key] == string(encoded) {
		return err
	}
	sent[key] = string(encoded)
	return to.event(event, sent[key])
}

func (to *stream) gone(sent map[string]string, there map[string]bool) error {
	for fleet := range sent {
		if there[fleet] {
			continue
		}
		delete(sent, fleet)
		encoded, err := json.Marshal(map[string]string{"name": name(fleet)})
		if err != nil {
			return err
		}
		if err := to.event("gone", string(encoded)); err != nil {
			return err
		}
	}
	return nil
}
