package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"windlass/internal/live"
	"windlass/internal/web"
)

// terminalOf is how wide out is and whether it shows colours; a file or a pipe is as wide as lines are long.
func terminalOf(out io.Writer) web.Terminal {
	t := web.Terminal{Now: time.Now()}
	file := terminalFile(out)
	if file == nil {
		return t
	}
	t.Colour = os.Getenv("NO_COLOR") == "" && !dumb()
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		t.Width = width
	}
	return t
}

// terminalFile is out where that is a terminal, else nil.
func terminalFile(out io.Writer) *os.File {
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// dumb reports whether the terminal is said to obey no sequences.
func dumb() bool { return os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" }

// viewOptions are those of a view on out: in place on a terminal that can, line by line elsewhere. End ends what they need.
func viewOptions(out, stderr io.Writer) (o live.Options, end func()) {
	o = live.Options{Out: out, Err: stderr, Colour: terminalOf(out).Colour}
	if dumb() {
		return o, func() {}
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	o.Terminal, o.Resized = terminalFile(out), resized
	return o, func() { signal.Stop(resized) }
}
