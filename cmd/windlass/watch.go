package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"windlass/internal/web"
)

const reconnect = time.Second // between tries to reach an agent that went away

// watch shows the picture again whenever it changes, until ctx ends; an agent that goes away is waited for. One that cannot be
// reached at first, lets nobody in, or knows fleets but none of that name, is an error.
func watch(ctx context.Context, c *client, o statusOptions, names []string, out io.Writer) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	if len(p.fleets) > 0 {
		if _, err := only(p.fleets, names); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	pictures, troubles := make(chan picture), make(chan error)
	listening.Go(func() { listen(ctx, c, pictures, troubles) })
	s := newScreen(out, o.json, names)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return worst(s.picture)
		case p := <-pictures:
			if err = s.show(p); err == nil && o.until != "" {
				if all, rest := rested(s.picture); rest {
					return orNone(all)
				}
			}
		case trouble := <-troubles:
			var final *unwelcome
			if errors.As(trouble, &final) {
				return trouble
			}
			err = s.complain(trouble)
		case <-tick.C:
			err = s.refresh()
		}
		if err != nil {
			return err
		}
	}
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

// A screen shows pictures: in place on a terminal, else one after another.
type screen struct {
	out      io.Writer
	terminal *os.File // nil: out is none
	json     bool
	names    []string
	picture  picture
	trouble  error
	shown    string // what was appended last
}

func newScreen(out io.Writer, json bool, names []string) *screen {
	s := &screen{out: out, json: json, names: names}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && !json {
		s.terminal = file
	}
	return s
}

// show takes a newer picture. A named fleet that is gone is simply not shown.
func (s *screen) show(p picture) error {
	before := s.picture
	s.picture, s.trouble = p, nil
	if len(s.names) > 0 {
		s.picture.fleets = named(p.fleets, s.names)
	}
	switch {
	case s.json:
		return s.appendJSON(before)
	case s.terminal == nil:
		return s.append()
	}
	return s.refresh()
}

func named(fleets []web.Fleet, names []string) []web.Fleet {
	var found []web.Fleet
	for _, f := range fleets {
		for _, name := range names {
			if f.Name == name {
				found = append(found, f)
			}
		}
	}
	return found
}

func (s *screen) complain(err error) error {
	s.trouble = err
	if s.terminal == nil {
		return nil
	}
	return s.refresh()
}

// refresh draws the picture in place, cut to the terminal; times go on while nothing else changes.
func (s *screen) refresh() error {
	if s.terminal == nil {
		return nil
	}
	var b bytes.Buffer
	if err := web.Text(&b, s.picture.repo, s.picture.fleets, terminalOf(s.terminal)); err != nil {
		return err
	}
	if s.trouble != nil {
		fmt.Fprintf(&b, "\n%s\n", web.Line(s.trouble.Error()))
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if _, height, err := term.GetSize(int(s.terminal.Fd())); err == nil && height > 1 && len(lines) >= height {
		lines = append(lines[:height-2], fmt.Sprintf("… %d more lines: name fleets to see less", len(lines)-height+2))
	}
	const home, restOfLine, restOfScreen = "\x1b[H", "\x1b[K", "\x1b[J"
	_, err := io.WriteString(s.out, home+strings.Join(lines, restOfLine+"\n")+restOfLine+"\n"+restOfScreen)
	return err
}

// append writes the picture below the ones before, unless it reads the same.
func (s *screen) append() error {
	var b bytes.Buffer
	now := time.Now()
	if err := web.Text(&b, s.picture.repo, s.picture.fleets, web.Terminal{Now: now}); err != nil {
		return err
	}
	if b.String() == s.shown {
		return nil
	}
	s.shown = b.String()
	_, err := fmt.Fprintf(s.out, "%s\n%s\n", now.Format(time.RFC3339), s.shown)
	return err
}

// appendJSON writes a line for each fleet that is not what it was.
func (s *screen) appendJSON(before picture) error {
	was := map[string]string{}
	for _, f := range before.fleets {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		was[f.Name] = string(text)
	}
	for _, f := range s.picture.fleets {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if string(text) == was[f.Name] {
			continue
		}
		if _, err := fmt.Fprintf(s.out, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}
