package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/outbound"
	"windlass/reconciler/plan"
)

// Alerts are told again so often, and end by themselves so long after they were told last, as when the agent is gone. Alertmanager's own time-out does not
// count where an end is given. https://prometheus.io/docs/alerting/latest/alerts_api/
const (
	alertEvery = time.Minute
	alertLasts = 5 * time.Minute
)

// An alert is one as Alertmanager takes it, by POST /api/v2/alerts.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func (a alert) name() string { return a.Labels["alertname"] + "\x00" + a.Labels["fleet"] }

// alerts are those that hold now, of the fleets that the channel hears of. What went well is no alert: it is the end of one.
func alerts(v view, now time.Time) []alert {
	var all []alert
	for _, s := range v.standings {
		if s.unheard {
			continue
		}
		f := s.fleet
		add := func(on desired.Occasion, name, severity string, since time.Time, says string) {
			if slices.Contains(s.on, on) {
				all = append(all, alert{
					Labels:      map[string]string{"alertname": name, "fleet": f.Name, "severity": severity},
					Annotations: map[string]string{"summary": cut(says), "release": f.Rollout.Release, "link": safeLink(f.Rollout.Link)},
					StartsAt:    since.UTC(), EndsAt: now.Add(alertLasts).UTC(),
				})
			}
		}
		d := decision{standing: s, now: now}
		r := f.Rollout
		if !r.Started.IsZero() && r.Ended.IsZero() {
			add(desired.OnStarted, "WindlassRolloutUnderWay", "info", r.Started, f.Name+": "+releases(r)+", "+d.progress(r))
		}
		if !s.waiting.IsZero() && now.Sub(s.waiting) >= waitPatience {
			add(desired.OnWaiting, "WindlassRolloutWaiting", "warning", s.waiting, f.Name+": "+f.Reason)
		}
		if !s.held.IsZero() && now.Sub(s.held) >= waitPatience {
			add(desired.OnWaiting, "WindlassRolloutWaiting", "warning", s.held, f.Name+": "+s.coming.Release+" has not begun: "+f.Reason)
		}
		if f.Phase == plan.PhaseHalted {
			add(desired.OnHalted, "WindlassRolloutHalted", "critical", orNow(r.Ended, now), f.Name+": "+f.Reason)
		}
		if f.Rejected != nil {
			add(desired.OnRejected, "WindlassFileRejected", "warning", now, strings.Join(rejection(f).Lines, "; "))
		}
	}
	return all
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// An alertmanager says which alerts hold.
type alertmanager struct {
	at     AlertmanagerPlace
	http   *outbound.Client
	firing map[string]alert // as they were told last
	told   time.Time
}

// due are the alerts to tell now, those that hold no more with their end; and when to look again.
func (a *alertmanager) due(v view, now time.Time) ([]alert, time.Time) {
	if !v.known {
		return nil, time.Time{}
	}
	hold := alerts(v, now)
	changed := now.Sub(a.told) >= alertEvery
	left := map[string]alert{}
	for name, last := range a.firing {
		left[name] = last
	}
	for i, h := range hold {
		last, fires := left[h.name()]
		if fires {
			hold[i].StartsAt = last.StartsAt
			delete(left, h.name())
		}
		changed = changed || !fires
	}
	for _, last := range left {
		if slices.ContainsFunc(v.standings, func(s standing) bool { return s.unheard && s.fleet.Name == last.Labels["fleet"] }) {
			continue
		}
		last.EndsAt = now.UTC()
		hold = append(hold, last)
		changed = true
	}
	slices.SortFunc(hold, func(x, y alert) int { return strings.Compare(x.name(), y.name()) })
	switch {
	case len(hold) == 0:
		return nil, soonest(v, now)
	case !changed:
		return nil, sooner(a.told.Add(alertEvery), soonest(v, now))
	}
	return hold, time.Time{}
}

// soonest is when a fleet will have waited for long enough.
func soonest(v view, now time.Time) (at time.Time) {
	for _, s := range v.standings {
		for _, since := range []time.Time{s.waiting, s.held} {
			if t := since.Add(waitPatience); !since.IsZero() && now.Before(t) {
				at = sooner(at, t)
			}
		}
	}
	return at
}

// tell sends alerts.
func (a *alertmanager) tell(ctx context.Context, all []alert, now time.Time) error {
	body, err := json.Marshal(all)
	if err != nil {
		return unread(err)
	}
	got, err := a.http.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: strings.TrimSuffix(a.at.URL, "/") + "/api/v2/alerts", Body: body,
		Header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return unanswered(err)
	}
	if !got.OK() {
		return refusedBy("Alertmanager", got)
	}
	a.took(all, now)
	return nil
}

// took remembers of alerts that were told which go on.
func (a *alertmanager) took(all []alert, now time.Time) {
	a.told, a.firing = now, map[string]alert{}
	for _, one := range all {
		if one.EndsAt.After(now) {
			a.firing[one.name()] = one
		}
	}
}
