package web

import (
	"encoding/json"
	"fmt"
	"net/http"
)

func (s *server) fleets(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, each(s.views.newest(0).fleets, func(f shown) Fleet { return f.Fleet }))
}

func (s *server) fleet(w http.ResponseWriter, r *http.Request) {
	wanted := r.PathValue("name")
	if f := s.find(wanted); f != nil {
		answer(w, http.StatusOK, f)
		return
	}
	unknown(w, wanted)
}

// find is a fleet as it stands; nil: there is none of that name.
func (s *server) find(wanted string) *Fleet {
	for _, f := range s.views.newest(0).fleets {
		if f.key == wanted {
			return &f.Fleet
		}
	}
	return nil
}

func unknown(w http.ResponseWriter, wanted string) {
	refuse(w, http.StatusNotFound, fmt.Sprintf("no fleet %q; /api/v1/fleets lists them", name(wanted)))
}

func (s *server) repo(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.views.newest(0).repo)
}

// refuse says what is wrong, in the shape {"error": "…"}.
func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(value)
}

// events sends the repo and every fleet, then each again whenever it changed ("repo", "fleet"), and the name of each fleet that
// went ("gone"). Changes that come faster than a client reads, or than pace, make one event. Every stream begins with all there is, so that
// who comes back needs to name no last event; one that is ended on purpose says why ("end").
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	sent := map[string]string{}
	s.stream(w, r, func(to *stream, seen *view) error {
		events, err := seen.events()
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for _, e := range events {
			there[e.key] = true
			if err := to.changed(sent, e); err != nil {
				return err
			}
		}
		return to.gone(sent, there)
	})
}

// changed sends an event unless it is what was sent last under its key.
func (to *stream) changed(sent map[string]string, e event) error {
	if last, ok := sent[e.key]; ok && last == e.text {
		return nil
	}
	sent[e.key] = e.text
	return to.write(e.text)
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
