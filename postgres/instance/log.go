package instance

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
)

// A logWriter turns what PostgreSQL writes to stderr into log records, and
// remembers the last complaint for the error that follows it.
type logWriter struct {
	log     *slog.Logger
	trouble func(trouble) // called when PostgreSQL finds that it cannot follow the primary from its data

	mu   sync.Mutex // guards what follows
	rest []byte
	last string
}

// A trouble is why a standby cannot follow the primary that it found.
type trouble string

const (
	noTrouble trouble = ""
	foreign   trouble = "foreign" // another database
	turned    trouble = "turned"  // the same, after another turn
	behind    trouble = "behind"  // the primary does not keep the log any more that comes next
)

// says is how PostgreSQL puts it, in the language that settings asks for. The
// severity keeps out what a user's function raises: that is never FATAL.
var says = []struct {
	severity string
	text     *regexp.Regexp
	is       trouble
}{
	{"FATAL", regexp.MustCompile(`^database system identifier differs between the primary and standby`), foreign},
	{"FATAL", regexp.MustCompile(`^requested timeline \d+ is not a child of this server's history`), turned},
	{"FATAL", regexp.MustCompile(`requested starting point \S+ on timeline \d+ is not in this server's history`), turned},
	{"LOG", regexp.MustCompile(`^new timeline \d+ forked off current database system timeline \d+ before current recovery point \S+$`), turned},
	{"FATAL", regexp.MustCompile(`requested WAL segment \w+ has already been removed`), behind},
}

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

// turnsAway is what PostgreSQL says to who connects too early or too late: no
// reason for its end.
var turnsAway = regexp.MustCompile(`^the database system is (starting up|shutting down|not yet accepting connections|not accepting connections|in recovery mode)`)

func (w *logWriter) line(s string) {
	severity, text, ok := strings.Cut(s, ":  ")
	if !ok {
		severity, text = "", s
	}
	level := slog.LevelDebug
	switch {
	case severity == "FATAL" && turnsAway.MatchString(text):
	case severity == "FATAL", severity == "PANIC":
		if text != w.last { // a standby whose primary is away says the same twice a second
			level = slog.LevelWarn
		}
		w.last = text
	case severity == "WARNING", severity == "ERROR":
		level = slog.LevelInfo
	}
	w.log.Log(context.Background(), level, "postgres says", "severity", severity, "text", text)
	for _, s := range says {
		if severity == s.severity && s.text.MatchString(text) {
			w.trouble(s.is)
		}
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
