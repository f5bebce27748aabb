package live

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"windlass/internal/follow"
	"windlass/internal/web"
)

// Options say where and how it is shown.
type Options struct {
	Out      io.Writer
	Err      io.Writer                  // for troubles, where Terminal is nil
	Terminal *os.File                   // what Out is; nil: lines are written
	Colour   bool                       // of frames; lines have none
	Resized  <-chan os.Signal           // tells that the terminal was; nil: it is looked at each second
	Stamp    func(now time.Time) string // what each line begins with; nil: the time of day
}

// A View shows what it is told. Its methods may be called side by side.
type View struct {
	o    Options
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	screen  screen
	open    bool // what was shown last is not at its end
	picture Picture
	lines   map[string]*follow.Lines // by fleet
	said    bytes.Buffer             // by them
	told    string                   // of what is waited for or in the way, last
}

const (
	tick       = time.Second // between frames, while nothing but time goes on
	mostEvents = 50          // that are kept for a frame
)

// Start returns a view that shows nothing yet. It has to be closed.
func Start(o Options) *View {
	if o.Stamp == nil {
		o.Stamp = func(now time.Time) string { return now.Format(time.TimeOnly) }
	}
	v := &View{o: o, stop: make(chan struct{}), lines: map[string]*follow.Lines{}, screen: screen{file: o.Terminal}}
	v.done.Go(v.refresh)
	return v
}

// refresh shows again as time goes on, as lines may wait for their time, and when the terminal has another size.
func (v *View) refresh() {
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-every.C:
		case <-v.o.Resized:
		}
		v.mu.Lock()
		if v.open {
			_ = v.tell() // who shows the next picture hears of it
		}
		v.mu.Unlock()
	}
}

// Show shows how fleets stand now, by name. The first picture tells what moves, not what rests.
func (v *View) Show(repo web.Repo, fleets []web.Fleet) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.picture.Repo, v.picture.Fleets, v.picture.Trouble, v.open = repo, fleets, "", true
	return v.tell()
}

// tell shows the picture.
func (v *View) tell() error {
	for _, f := range v.picture.Fleets {
		if f.Desired.Revision == "" && f.Phase == "" { // the agent has not looked at it yet
			continue
		}
		if err := v.linesOf(f.Name, len(v.picture.Fleets) > 1).Take(f, time.Now()); err != nil {
			return err
		}
	}
	if v.o.Terminal != nil {
		return v.draw()
	}
	return v.flush()
}

// linesOf are what tells of a fleet, by its name where there are several.
func (v *View) linesOf(fleet string, named bool) *follow.Lines {
	l := v.lines[fleet]
	if l == nil {
		l = &follow.Lines{Out: &v.said}
		v.lines[fleet] = l
	}
	l.Stamp = v.o.Stamp
	if named {
		l.Stamp = func(now time.Time) string { return v.o.Stamp(now) + "  " + web.Line(fleet) }
	}
	return l
}

// flush writes what the lines said.
func (v *View) flush() error {
	if v.said.Len() == 0 {
		return nil
	}
	_, err := v.said.WriteTo(v.o.Out)
	return err
}

// Await tells what is waited for, once.
func (v *View) Await(what string) error {
	return v.note(what, func(said string) error {
		_, err := fmt.Fprintf(v.o.Out, "%s  %s\n", v.o.Stamp(time.Now()), said)
		return err
	})
}

// Trouble tells why there is no newer picture, once.
func (v *View) Trouble(why error) error {
	return v.note(why.Error(), func(said string) error {
		_, err := fmt.Fprintln(v.o.Err, "windlass: "+said)
		return err
	})
}

func (v *View) note(text string, write func(said string) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	said := web.Line(text)
	if v.o.Terminal != nil {
		v.picture.Trouble = said
		return v.draw()
	}
	if said == v.told {
		return nil
	}
	v.told = said
	return write(said)
}

// draw draws the frame.
func (v *View) draw() error {
	v.events()
	v.open = true
	return v.screen.draw(v.frame())
}

func (v *View) frame() []string {
	width, height := v.screen.size()
	return Frame(v.picture, Window{Width: width, Height: height, Colour: v.o.Colour, Now: time.Now()})
}

// events takes what the lines said into the picture.
func (v *View) events() {
	if v.said.Len() == 0 {
		return
	}
	all := append(v.picture.Events, strings.Split(strings.TrimSuffix(v.said.String(), "\n"), "\n")...)
	v.picture.Events = all[max(0, len(all)-mostEvents):]
	v.said.Reset()
}

// End leaves what is shown where it is, in the order of things, and writes lines below it. What is shown next is below them.
func (v *View) End(lines ...string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	open := v.open
	v.open = false
	if open && v.o.Terminal != nil {
		v.events()
		rows := v.frame()
		v.picture.Events = nil
		return v.screen.leave(rows, lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(v.o.Out, l); err != nil {
			return err
		}
	}
	return nil
}

// Close ends what is shown, and waits for the end of what Start began.
func (v *View) Close() error {
	err := v.End()
	close(v.stop)
	v.done.Wait()
	return err
}
