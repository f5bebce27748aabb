package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"windlass/internal/follow"
	"windlass/internal/live"
	"windlass/internal/web"
)

const reconnect = time.Second // between tries to reach an agent that went away

// watch shows how fleets stand as that changes, until ctx ends; an agent that goes away is waited for. One that cannot be
// reached at first, lets nobody in, or knows fleets but none of that name, is an error.
func watch(ctx context.Context, c *client, o statusOptions, names []string, out, stderr io.Writer) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	if len(p.fleets) > 0 {
		if _, err := only(p.fleets, names); err != nil {
			return err
		}
	}
	s := &watcher{client: c, until: o.until, names: names, seen: map[string]*follow.Witness{}}
	if o.json {
		s.show = &jsonLines{out: out, was: map[string]string{}}
		return s.run(ctx)
	}
	options, end := viewOptions(out, stderr)
	defer end()
	view := live.Start(options)
	s.show = view
	err = s.run(ctx)
	if shown := errors.Join(view.End(s.recaps()...), view.Close()); shown != nil {
		return shown
	}
	return err
}

// A watcher shows what it hears of the fleets that are named; none: of all.
type watcher struct {
	client  *client
	until   string
	names   []string
	show    shower
	picture picture
	seen    map[string]*follow.Witness // by fleet
}

// A shower shows pictures, and why there are no newer ones.
type shower interface {
	Show(repo web.Repo, fleets []web.Fleet) error
	Trouble(why error) error
}

func (s *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	pictures, troubles := make(chan picture), make(chan error)
	listening.Go(func() { listen(ctx, s.client, pictures, troubles) })
	for {
		select {
		case <-ctx.Done():
			return worst(s.picture)
		case p := <-pictures:
			if err := s.take(p); err != nil {
				return err
			}
			if all, rest := rested(s.picture); rest && s.until != "" {
				return orNone(all)
			}
		case trouble := <-troubles:
			var final *unwelcome
			if errors.As(trouble, &final) {
				return trouble
			}
			if err := s.show.Trouble(trouble); err != nil {
				return err
			}
		}
	}
}

// take shows a newer picture. A named fleet that is gone is simply not shown.
func (s *watcher) take(p picture) error {
	if len(s.names) > 0 {
		p.fleets = slices.DeleteFunc(slices.Clone(p.fleets), func(f web.Fleet) bool { return !slices.Contains(s.names, f.Name) })
	}
	s.picture = p
	for _, f := range p.fleets {
		if s.seen[f.Name] == nil {
			s.seen[f.Name] = &follow.Witness{}
		}
		s.seen[f.Name].Take(f)
	}
	return s.show.Show(p.repo, p.fleets)
}

// recaps are the newest rollouts that ended meanwhile, a line for each fleet.
func (s *watcher) recaps() []string {
	var lines []string
	for _, f := range s.picture.fleets {
		if recap := s.seen[f.Name].Recap(follow.Pending); recap != "" {
			lines = append(lines, recap)
		}
	}
	return lines
}

// orNone is no error for the exit code of success.
func orNone(c code) error {
	if c == 0 {
		return nil
	}
	return c
}

// listen follows the agent and passes on what it hears.
func listen(ctx context.Context, c *client, pictures chan<- picture, troubles chan<- error) {
	for ctx.Err() == nil {
		err := c.follow(ctx, func(p picture) {
			select {
			case pictures <- p:
			case <-ctx.Done():
			}
		})
		select {
		case troubles <- err:
		case <-ctx.Done():
			return
		}
		pause(ctx, reconnect)
	}
}

// jsonLines writes a line for each fleet that is not what it was.
type jsonLines struct {
	out io.Writer
	was map[string]string // by fleet
}

func (j *jsonLines) Show(_ web.Repo, fleets []web.Fleet) error {
	is := map[string]string{}
	for _, f := range fleets {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if is[f.Name] = string(text); is[f.Name] == j.was[f.Name] {
			continue
		}
		if _, err := fmt.Fprintf(j.out, "%s\n", text); err != nil {
			return err
		}
	}
	j.was = is
	return nil
}

// Trouble is for people.
func (*jsonLines) Trouble(error) error { return nil }
