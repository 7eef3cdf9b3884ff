package postgres

import (
	"slices"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/failover"
	"meridian/postgres/wire"
)

func TestWhichMessagesTellOfACommit(t *testing.T) {
	tag := func(s string) wire.Frame { return wire.Frame(wire.Builder(nil).Message('C', append([]byte(s), 0))) }
	ready := func(s byte) wire.Frame { return wire.Frame(wire.Builder(nil).Ready(s)) }
	for _, c := range []struct {
		what   string
		f      wire.Frame
		before byte
		want   bool
	}{
		{"a statement outside a block", tag("INSERT 0 1"), 'I', true},
		{"one within", tag("INSERT 0 1"), 'T', false},
		{"the end of a block", tag("COMMIT"), 'T', true},
		{"two-phase commit", tag("COMMIT PREPARED"), 'I', true},
		{"its first phase", tag("PREPARE TRANSACTION"), 'T', true},
		{"idle", ready('I'), 'I', true},
		{"in a block", ready('T'), 'I', false},
		{"a failed block", ready('E'), 'T', false},
		{"a row", wire.Frame(wire.Builder(nil).Message('D', []byte{0, 0})), 'I', false},
	} {
		if got := commits(c.f, c.before); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

func TestTheLedgerKnowsItsOldestCommit(t *testing.T) {
	var l ledger
	begin := time.Unix(1e9, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for i := range 4000 {
		l.add(begin.Add(time.Duration(i)*10*time.Microsecond), meridian.LSN(i))
	}
	if len(l) > 41 {
		t.Errorf("%d entries for 40 ms", len(l))
	}
	if got := l.age(at(50)); got != 50*time.Millisecond {
		t.Errorf("the oldest is %v old", got)
	}
	l.confirm(1998) // all but the last of the first 20 ms
	if got := l.age(at(50)); got != 31*time.Millisecond {
		t.Errorf("a commit that is not confirmed made its group no older: %v", got)
	}
	l.confirm(5000)
	if got := l.age(at(50)); got != 0 {
		t.Errorf("all are confirmed, and one is %v old", got)
	}
}

func TestEveryQuorumMustHaveIt(t *testing.T) {
	d := Demand{Quorums: []failover.Quorum{{Need: 1, Of: []meridian.Region{"a", "b"}}, {Need: 1, Of: []meridian.Region{"b"}}}}
	at := map[meridian.Region]meridian.LSN{"a": 30, "b": 20}
	if got := d.confirmed(at, 40); got != 20 {
		t.Errorf("confirmed up to %d", got)
	}
	if got := d.confirmed(at, 10); got != 10 {
		t.Errorf("more is confirmed than is there: %d", got)
	}
	if got := (Demand{}).confirmed(nil, 40); got != 40 {
		t.Errorf("without a demand: %d", got)
	}
}

func TestStandbysPositionsAreRead(t *testing.T) {
	at, err := parseStandbys("eu_west_1 0/10,b 1/2,_eu_west_1_standby_1 0/20,eu_west_1 0/8")
	if err != nil || at["eu_west_1"] != 16 || at["b"] != 1<<32+2 || len(at) != 2 {
		t.Errorf("%v, %v", at, err)
	}
	if at, err := parseStandbys(""); err != nil || len(at) != 0 {
		t.Errorf("nobody: %v, %v", at, err)
	}
	if _, err := parseStandbys("a 0/zz"); err == nil {
		t.Error("what is no position is read")
	}
}

// TestWhatWasSentBeforeAWaitNeedsNone follows a stream of messages whose bytes
// were there when the first of them waited.
func TestWhatWasSentBeforeAWaitNeedsNone(t *testing.T) {
	h := holder{covered: 30}
	f := func(n int) wire.Frame { return slices.Repeat(wire.Frame{'Z'}, n) }
	if !h.pass(t.Context(), nil, nil, f(20), true) || h.covered != 10 {
		t.Errorf("%d are left", h.covered)
	}
	if !h.pass(t.Context(), nil, nil, f(11), false) || h.covered != 0 {
		t.Errorf("a message that was not all there: %d are left", h.covered)
	}
}
