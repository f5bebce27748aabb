package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"windlass/internal/redact"
)

// newLog writes to out: in colour on a terminal, else as text or JSON as format says.
func newLog(out io.Writer, format string) *slog.Logger {
	file, isFile := out.(*os.File)
	options := &slog.HandlerOptions{ReplaceAttr: fit}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(out, options))
	case isFile && term.IsTerminal(int(file.Fd())):
		return slog.New(tint.NewTextHandler(out, &tint.Options{TimeFormat: time.TimeOnly, ReplaceAttr: fit}))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// fit makes what is logged fit to be shown: text and errors on one line without what looks like a secret (law 22), durations with
// their unit.
func fit(_ []string, a slog.Attr) slog.Attr {
	switch value := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(redact.Line(value))
	case time.Duration:
		a.Value = slog.StringValue(value.String()) // JSON would have nanoseconds without saying so
	case error:
		a.Value = slog.StringValue(redact.Line(value.Error()))
	}
	return a
}
