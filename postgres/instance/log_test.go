package instance

import (
	"log/slog"
	"strings"
	"testing"
)

func newLog(b *strings.Builder, told func(trouble)) *logWriter {
	h := slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return &logWriter{log: slog.New(h), trouble: told}
}

func TestComplaintsAreLoggedOnceAndRemembered(t *testing.T) {
	var b strings.Builder
	w := newLog(&b, func(is trouble) { t.Errorf("trouble: %s", is) })
	// Lines come in pieces.
	for _, piece := range []string{"LOG:  hel", "lo\nFATAL:  no", " way\nFATAL:  no way\n", "HINT:  try\n", "FATAL:  the database system is not yet accepting connections\n"} {
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
	for _, c := range []struct {
		line string
		want trouble
	}{
		{"FATAL:  database system identifier differs between the primary and standby", foreign},
		{"FATAL:  requested timeline 3 is not a child of this server's history", turned},
		{"FATAL:  could not start WAL streaming: ERROR:  requested starting point 0/5000000 on timeline 1 is not in this server's history", turned},
		{"LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point 0/40182C8", turned},
		{"LOG:  new timeline 7 is not a child of database system timeline 1", noTrouble}, // reserved
		{"FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed", behind},
		{"LOG:  requested WAL segment 000000010000000000000003 has already been removed", noTrouble}, // a function may say so
		{"\tFATAL:  database system identifier differs between the primary and standby", noTrouble},  // or so, in its second line
	} {
		var b strings.Builder
		got := noTrouble
		newLog(&b, func(is trouble) { got = is }).Write([]byte(c.line + "\n"))
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("LOG:  x\nFATAL:  y\n"), 3)
	f.Fuzz(func(t *testing.T, said []byte, cut int) {
		var b strings.Builder
		w := newLog(&b, func(trouble) {})
		cut = max(0, min(cut, len(said)))
		w.Write(said[:cut])
		w.Write(said[cut:])
		if len(w.rest) > maxLine {
			t.Errorf("keeps %d bytes", len(w.rest))
		}
	})
}
