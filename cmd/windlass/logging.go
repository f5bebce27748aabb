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
	options := &slog.HandlerOptions{ReplaceAttr: withoutSecrets}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(out, options))
	case isFile && term.IsTerminal(int(file.Fd())):
		return slog.New(tint.NewHandler(out, &tint.Options{TimeFormat: time.TimeOnly, ReplaceAttr: withoutSecrets}))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// withoutSecrets makes text and errors fit for the log: on one line, and what looks like a secret hidden (law 22).
func withoutSecrets(_ []string, a slog.Attr) slog.Attr {
	switch value := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(redact.Line(value))
	case error:
		a.Value = slog.StringValue(redact.Line(value.Error()))
	}
	return a
}
