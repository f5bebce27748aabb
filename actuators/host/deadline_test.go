package host

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/desired"
)

// A call has as long as it may take, and the time to connect.
func TestCallsEndInTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		call func(context.Context, *Host, actuators.Place) error
		want time.Duration
	}{
		"read": {func(ctx context.Context, h *Host, at actuators.Place) error { _, err := h.Read(ctx, at); return err }, 37 * time.Second},
		"check": {func(ctx context.Context, h *Host, at actuators.Place) error {
			_, _, err := h.Check(ctx, at, nil, "true", 3*time.Second)
			return err
		}, 12 * time.Second},
		"write": {func(ctx context.Context, h *Host, at actuators.Place) error {
			_, err := h.Write(ctx, at, "", actuators.NodeRecord{Schema: actuators.RecordSchema, Fleet: "web"})
			return err
		}, 37 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			stuck := func(ctx context.Context, limit time.Duration) (ssh.AuthMethod, func(), error) {
				if limit != 7*time.Second {
					t.Errorf("%s: connecting may take %v", name, limit)
				}
				<-ctx.Done()
				return nil, nil, ctx.Err()
			}
			h := &Host{pool: newPool(stuck, 1)}
			at := actuators.Place{Fleet: "web", SSH: desired.SSH{ConnectTimeout: 7 * time.Second}}
			at.Node.HostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0mVwn9Vz8rWwQ1VgGZ0Yt1mY0rCjE1tP2gYh2cQb4w"
			began := time.Now()
			err := c.call(t.Context(), h, at)
			if took := time.Since(began); took != c.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %v, want %v", name, err, took, c.want)
			}
		})
	}
}

func TestWhatIsNotSetHasItsDefault(t *testing.T) {
	t.Parallel()
	h, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := h.pool; p.idle != 30*time.Second || p.keepAlive != 10*time.Second || cap(p.dials) != 8 || cap(p.doubtful) != 4 {
		t.Errorf("idle %v, keep-alive %v, dials %d", p.idle, p.keepAlive, cap(p.dials))
	}
	h, err = New(Options{Idle: 1, KeepAlive: 2, Dials: 6})
	if err != nil {
		t.Fatal(err)
	}
	if p := h.pool; p.idle != 1 || p.keepAlive != 2 || cap(p.dials) != 6 {
		t.Errorf("idle %v, keep-alive %v, dials %d", p.idle, p.keepAlive, cap(p.dials))
	}
}

// A written record is told of while its job runs, once, and to nobody who has gone.
func TestHeraldTellsOfTheWrittenRecordOnce(t *testing.T) {
	t.Parallel()
	b, err := encode(actuators.NodeRecord{Schema: actuators.RecordSchema, Fleet: "web"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		report, fleet string
		late          bool
		told          bool
		want          string
	}{
		"written":            {whole(), "web", false, true, ""},
		"nothing is written": {"", "web", false, false, "not whole"},
		"torn":               {"windlass 1\nmachine m-1\n", "web", false, false, "not whole"},
		"no machine":         {"windlass 1\nnow 1900000000.1\nend\n", "web", false, false, "no usable machine id"},
		"too late":           {whole(), "web", true, false, "not whole"},
		"another fleet":      {whole(), "api", false, false, "web"},
	} {
		var told []actuators.HostState
		h := herald{fleet: c.fleet, record: b, written: func(s actuators.HostState) { told = append(told, s) }, err: errNotWhole}
		if c.late {
			err = h.end()
			h.read(newReportReader(strings.NewReader(c.report)))
		} else {
			h.read(newReportReader(strings.NewReader(c.report)))
			err = h.end()
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(told) == 1 != c.told || len(told) > 1 {
			t.Errorf("%s: told %+v", name, told)
		}
		if len(told) == 1 && (told[0].Version != versionOf(b) || told[0].Machine != "m-1" || told[0].Record.Fleet != "web") {
			t.Errorf("%s: told %+v", name, told[0])
		}
	}
	h := herald{fleet: "web", record: b, err: errNotWhole} // nobody wants to know
	h.read(newReportReader(strings.NewReader(whole())))
	if err := h.end(); err != nil {
		t.Errorf("nobody is told: %v", err)
	}
}
