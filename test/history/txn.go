package history

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Outcome is what a client knows of what it asked for.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"  // it has not happened and never will
	Unknown Outcome = "unknown" // it was sent and not answered
	// Undone: if it was done, then on a primary that was lost, and is lost
	// with it. Who read there before may have seen it.
	Undone Outcome = "undone"
)

// never reports whether what ended so is nowhere, once there was an answer.
func (o Outcome) never() bool { return o == Failed || o == Undone }

// Never is the return of what was not answered.
const Never = time.Duration(math.MaxInt64)

// An Op is one step of a transaction.
type Op struct {
	Append bool
	Key    string
	Value  int64   // what was appended; no value is appended to a key twice
	List   []int64 // what was read
}

// A Txn is a transaction as its client saw it.
type Txn struct {
	Process int    // a session: what it does, it does in this order
	Region  string // whose proxy it was asked of
	Call    time.Duration
	Return  time.Duration // Never, if it was not answered
	Outcome Outcome
	Ops     []Op
	Note    string // for people: the error, if there was one
}

// A Log collects the transactions of many clients.
type Log struct {
	mu   sync.Mutex
	txns []Txn // guarded by mu
}

// Add keeps t.
func (l *Log) Add(t Txn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txns = append(l.txns, t)
}

// Txns returns what was kept, in the order of the calls.
func (l *Log) Txns() []Txn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.txns)
	slices.SortStableFunc(out, func(a, b Txn) int { return int(a.Call - b.Call) })
	return out
}

// String writes t on one line, as Parse reads it:
//
//	p3@eu-west-1 12..250 ok: append x 7; read y [1 2]
//
// Times are microseconds.
func (t Txn) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "p%d", t.Process)
	if t.Region != "" {
		b.WriteString("@" + t.Region)
	}
	fmt.Fprintf(&b, " %d..", t.Call.Microseconds())
	if t.Return != Never {
		fmt.Fprint(&b, t.Return.Microseconds())
	}
	fmt.Fprintf(&b, " %s:", t.Outcome)
	for i, o := range t.Ops {
		if i > 0 {
			b.WriteByte(';')
		}
		if o.Append {
			fmt.Fprintf(&b, " append %s %d", o.Key, o.Value)
		} else {
			fmt.Fprintf(&b, " read %s %d", o.Key, o.List)
		}
	}
	if t.Note != "" {
		b.WriteString(" # " + strings.ReplaceAll(t.Note, "\n", " "))
	}
	return b.String()
}

// Format writes a history, one transaction a line.
func Format(h []Txn) string {
	var b strings.Builder
	for _, t := range h {
		b.WriteString(t.String() + "\n")
	}
	return b.String()
}

// Parse reads what Format writes. Empty lines and what follows a # are
// nothing. Its errors name the line.
func Parse(text string) (h []Txn, err error) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		t, err := parseTxn(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		h = append(h, t)
	}
	return h, nil
}

func parseTxn(line string) (t Txn, err error) {
	head, body, ok := strings.Cut(line, ":")
	words := strings.Fields(head)
	if !ok || len(words) != 3 {
		return t, fmt.Errorf("%q: want PROCESS CALL..RETURN OUTCOME: OPS", line)
	}
	who, region, _ := strings.Cut(words[0], "@")
	t.Region = region
	if t.Process, err = strconv.Atoi(strings.TrimPrefix(who, "p")); err != nil {
		return t, fmt.Errorf("process %q: %w", words[0], err)
	}
	if t.Call, t.Return, err = parseSpan(words[1]); err != nil {
		return t, fmt.Errorf("times %q: %w", words[1], err)
	}
	t.Outcome = Outcome(words[2])
	if t.Outcome != OK && t.Outcome != Unknown && !t.Outcome.never() {
		return t, fmt.Errorf("outcome %q: want ok, failed, undone or unknown", words[2])
	}
	for part := range strings.SplitSeq(body, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		o, err := parseOp(part)
		if err != nil {
			return t, err
		}
		t.Ops = append(t.Ops, o)
	}
	return t, nil
}

func parseSpan(text string) (call, back time.Duration, err error) {
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		return 0, 0, fmt.Errorf("want CALL..RETURN")
	}
	if call, err = micros(from); err != nil || to == "" {
		return call, Never, err
	}
	back, err = micros(to)
	if err == nil && back < call {
		err = fmt.Errorf("it returned before it was called")
	}
	return call, back, err
}

func micros(text string) (time.Duration, error) {
	n, err := strconv.ParseInt(text, 10, 44) // 100 days
	return time.Duration(n) * time.Microsecond, err
}

func parseOp(text string) (o Op, err error) {
	words := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(text))
	switch {
	case len(words) == 3 && words[0] == "append":
		o = Op{Append: true, Key: words[1]}
		o.Value, err = strconv.ParseInt(words[2], 10, 64)
		return o, err
	case len(words) >= 2 && words[0] == "read":
		o.Key = words[1]
		for _, w := range words[2:] {
			v, err := strconv.ParseInt(w, 10, 64)
			if err != nil {
				return o, err
			}
			o.List = append(o.List, v)
		}
		return o, nil
	}
	return o, fmt.Errorf("%q: want append KEY VALUE, or read KEY [VALUES]", text)
}
