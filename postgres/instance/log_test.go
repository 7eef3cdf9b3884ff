package instance

import (
	"log/slog"
	"strings"
	"testing"
)

func newLog(b *strings.Builder, foreign func()) *logWriter {
	h := slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return &logWriter{log: slog.New(h), foreign: foreign}
}

func TestComplaintsAreLoggedOnceAndRemembered(t *testing.T) {
	var b strings.Builder
	w := newLog(&b, func() { t.Error("foreign?") })
	// Lines come in pieces.
	for _, piece := range []string{"LOG:  hel", "lo\nFATAL:  no", " way\nFATAL:  no way\n", "HINT:  try\n"} {
		w.Write([]byte(piece))
	}
	const want = `level=WARN msg="postgres says" severity=FATAL text="no way"` + "\n"
	if b.String() != want {
		t.Errorf("logged %s", &b)
	}
	if got := w.complaint(); got != "no way" {
		t.Errorf("remembered %q", got)
	}
}

func TestLogKnowsWhatAStandbyCannotOvercome(t *testing.T) {
	var b strings.Builder
	told := 0
	w := newLog(&b, func() { told++ })
	w.Write([]byte("FATAL:  database system identifier differs between the primary and standby\n"))
	w.Write([]byte("FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed\n"))
	if told != 1 {
		t.Errorf("told of another database %d times", told)
	}
	if !strings.Contains(b.String(), "level=ERROR") {
		t.Errorf("an operator is not called: %s", &b)
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("LOG:  x\nFATAL:  y\n"), 3)
	f.Fuzz(func(t *testing.T, said []byte, cut int) {
		var b strings.Builder
		w := newLog(&b, func() {})
		cut = max(0, min(cut, len(said)))
		w.Write(said[:cut])
		w.Write(said[cut:])
		if len(w.rest) > maxLine {
			t.Errorf("keeps %d bytes", len(w.rest))
		}
	})
}
