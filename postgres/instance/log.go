package instance

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// A logWriter turns what PostgreSQL writes to stderr into log records, and
// remembers the last complaint for the error that follows it.
type logWriter struct {
	log     *slog.Logger
	foreign func() // called when PostgreSQL finds that it cannot follow the primary from its data

	mu   sync.Mutex // guards what follows
	rest []byte
	last string
}

// What PostgreSQL says, in the language that settings asks for, when a standby
// cannot follow the primary that it found.
const (
	saysForeign      = "database system identifier differs between the primary and standby"
	saysOtherTurn    = "this server's history"         // requested timeline, or starting point, is not in or a child of
	saysBehindUs     = "before current recovery point" // new timeline forked off
	saysTooFarBehind = "has already been removed"      // requested WAL segment ...
)

// maxLine bounds what is kept of a line that does not end.
const maxLine = 8 << 10

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			break
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
	if len(w.rest) > maxLine {
		w.line(string(w.rest))
		w.rest = nil
	}
	return len(p), nil
}

func (w *logWriter) line(s string) {
	severity, text, ok := strings.Cut(s, ":  ")
	if !ok {
		severity, text = "", s
	}
	level := slog.LevelDebug
	switch severity {
	case "FATAL", "PANIC":
		if text != w.last { // a standby whose primary is away says the same twice a second
			level = slog.LevelWarn
		}
		w.last = text
	case "WARNING", "ERROR":
		level = slog.LevelInfo
	}
	w.log.Log(context.Background(), level, "postgres says", "severity", severity, "text", text)
	switch {
	case strings.Contains(text, saysForeign), strings.Contains(text, saysOtherTurn), strings.Contains(text, saysBehindUs):
		w.foreign()
	case strings.Contains(text, saysTooFarBehind) && level != slog.LevelDebug:
		w.log.Error("this region was away for longer than the primary keeps its log; reads get older and older. " +
			"Stop the node, move its database folder away and start it: it copies the primary's anew")
	}
}

// complaint returns the last FATAL or PANIC line, or "no reason given".
func (w *logWriter) complaint() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == "" {
		return "no reason given"
	}
	return w.last
}
