package postgres

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"meridian/postgres/wire"
)

// TestFoundSequences plays what TestSequences has found, as it printed it, in both
// kinds of pooling: nothing differs.
//
//	== NAME        begins a sequence; the next line may be "style: NAME=VALUE"
//	query SQL ...  one message a line; with " ..." behind it what is answered by then is awaited
func TestFoundSequences(t *testing.T) {
	files, err := filepath.Glob("testdata/sequences/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no sequences", err)
	}
	for name, pools := range map[string]bool{"session": false, "transaction": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, pools)
			s.exact = true
			for _, file := range files {
				for _, k := range readCases(t, file) {
					t.Run(filepath.Base(file)+"/"+k.name, func(t *testing.T) {
						q := readSequence(t, k)
						s.t, s.w.t = t, t
						if why := s.differs(q); why != "" {
							t.Errorf("%s%s", q, why)
						}
					})
				}
			}
			s.t, s.w.t = t, t
		})
	}
}

// readSequence reads what String has written.
func readSequence(t *testing.T, k matrixCase) sequence {
	t.Helper()
	q := sequence{name: k.name}
	for _, line := range k.steps {
		if style, ok := strings.CutPrefix(line, "style: "); ok {
			q.style = style
			continue
		}
		m := sent{}
		m.says, m.pause = strings.CutSuffix(strings.TrimSpace(line), "...")
		m.says = strings.TrimSpace(m.says)
		if m.cancel = strings.HasPrefix(m.says, "cancel"); m.cancel {
			m.awaits = m.says == "cancel"
		} else if m.bytes = readMessage(m.says); m.bytes == nil {
			t.Fatalf("%s: %q", k.name, line)
		}
		q.steps = append(q.steps, m)
	}
	return q
}

// readMessage returns the message of a line, or nil.
func readMessage(line string) []byte {
	verb, rest, _ := strings.Cut(line, " ")
	b := wire.Builder(nil)
	switch verb {
	case "query":
		return b.Query(rest)
	case "parse":
		name, sql := name(rest)
		return parse(name, sql)
	case "sync":
		return b.Sync()
	case "flush":
		return b.Message('H')
	case "execute":
		portal, rows := name(rest)
		n, _ := strconv.ParseUint(rows, 10, 32)
		return b.Message('E', wire.String(portal), binary.BigEndian.AppendUint32(nil, uint32(n)))
	case "bind":
		return readBind(rest)
	case "D", "C", "describe", "close":
		what, rest, _ := strings.Cut(rest, " ")
		target, _ := name(rest)
		return b.Message(strings.ToUpper(verb)[0], []byte(strings.ToUpper(what)[:1]), wire.String(target))
	case "data":
		return b.Message('d', []byte(unescape(rest)))
	case "copy":
		if rest == "done" {
			return b.Message('c')
		}
		return b.Message('f', wire.String("no more"))
	case "call":
		g := &generator{}
		g.calls(rest)
		return g.q.steps[0].bytes
	}
	return nil
}

// readBind reads `"portal" "statement" [1 2]`, or what odd says.
func readBind(s string) []byte {
	portal, s := name(s)
	stmt, s := name(s)
	var args, formats int
	if n, _ := fmt.Sscanf(s, "with %d parameters, formats %d", &args, &formats); n == 2 {
		return oddBind(portal, args, formats)
	}
	return bindText(portal, stmt, long(strings.Fields(strings.Trim(s, "[]"))))
}

// name takes a name off, quoted or not.
func name(s string) (name, rest string) {
	if quoted, err := strconv.QuotedPrefix(s); err == nil {
		return unescape(quoted), strings.TrimPrefix(s[len(quoted):], " ")
	}
	name, rest, _ = strings.Cut(s, " ")
	return name, rest
}

func unescape(s string) string {
	if text, err := strconv.Unquote(s); err == nil {
		return text
	}
	return s
}

// TestFoundSequencesAreReadAsWritten reads what TestSequences prints.
func TestFoundSequencesAreReadAsWritten(t *testing.T) {
	calls["writes"], calls["swallows"] = 1, 2
	for _, seed := range []uint64{7, 63001, 100003, 400001, 700001} {
		for i := range uint64(50) {
			q := generate(seed + 2*i)
			file := filepath.Join(t.TempDir(), "q")
			_, steps, _ := strings.Cut(q.String(), ":\n")
			if err := os.WriteFile(file, []byte("== q\n"+steps), 0o600); err != nil {
				t.Fatal(err)
			}
			back := readSequence(t, readCases(t, file)[0])
			for k, m := range q.steps {
				if k >= len(back.steps) || string(back.steps[k].bytes) != string(m.bytes) || back.steps[k].pause != m.pause || back.steps[k].awaits != m.awaits {
					t.Fatalf("%s: %q is not read as it was written", q.name, m.says)
				}
			}
		}
	}
}
