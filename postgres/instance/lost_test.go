package instance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dumped = `first record is after 0/3000000, at 0/3000028, skipping over 40 bytes
rmgr: LogicalMessage len (rec/tot):     55/    55, tx:        730, lsn: 0/03000028, prev 0/02000148, desc: MESSAGE transactional, prefix "meridian"; payload (1 bytes): 61
rmgr: LogicalMessage len (rec/tot):     56/    56, tx:        732, lsn: 0/03000060, prev 0/03000028, desc: MESSAGE transactional, prefix "meridian"; payload (2 bytes): 62 63
rmgr: LogicalMessage len (rec/tot):     56/    56, tx:          0, lsn: 0/03000098, prev 0/03000060, desc: MESSAGE non-transactional, prefix "meridian"; payload (1 bytes): 62
rmgr: LogicalMessage len (rec/tot):     56/    56, tx:        732, lsn: 0/030000D0, prev 0/03000098, desc: MESSAGE transactional, prefix "other"; payload (1 bytes): 62
rmgr: Heap        len (rec/tot):     59/   187, tx:        730, lsn: 0/03000108, prev 0/030000D0, desc: INSERT off 1 flags 0x00, blkref #0: rel 1663/16386/16387 blk 0 FPW
rmgr: Transaction len (rec/tot):     46/    46, tx:        729, lsn: 0/03000200, prev 0/03000108, desc: COMMIT 2026-11-23 13:52:21.781397 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:        731, lsn: 0/03000300, prev 0/03000200, desc: COMMIT 2026-11-23 13:52:21.781397 UTC; subxacts: 732 733; inval msgs: snapshot 2396
rmgr: Transaction len (rec/tot):     34/    34, tx:        734, lsn: 0/03000330, prev 0/03000300, desc: ABORT 2026-11-23 13:52:21.781397 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:          0, lsn: 0/03000360, prev 0/03000330, desc: COMMIT_PREPARED 730: 2026-11-23 13:52:21.781397 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:        735, lsn: 0/03000390, prev 0/03000360, desc: COMMIT 2026-11-23 13:52:21.781397 UTC
`

func TestHandlesOfLostTransactionsAreFound(t *testing.T) {
	l := losses{from: 0x3000300, handles: map[uint32][]string{}}
	if err := eachRecord(strings.NewReader(dumped), l.add); err != nil {
		t.Fatal(err)
	}
	want := []LostTransaction{{731, 0x3000300, "bc"}, {730, 0x3000360, "a"}, {735, 0x3000390, ""}}
	if diff := cmp.Diff(want, l.lost); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoRecordIsAnError(t *testing.T) {
	for _, line := range []string{
		"anything else",
		"rmgr: Transaction len (rec/tot):     46/    46, tx:        729, lsn: 0/03000200, prev 0/03000108, desc: COMMIT at some time",
		`rmgr: LogicalMessage len (rec/tot):     55/    55, tx:        730, lsn: 0/03000028, prev 0/02000148, desc: MESSAGE transactional, prefix "meridian"; payload (2 bytes): 61`,
		`rmgr: LogicalMessage len (rec/tot):     55/    55, tx:        730, lsn: 0/03000028, prev 0/02000148, desc: MESSAGE transactional, prefix "meridian"; payload (1 bytes): 6`,
		"rmgr: Transaction len (rec/tot):     46/    46, tx:  99999999999, lsn: 0/03000200, prev 0/03000108, desc: ABORT",
	} {
		l := losses{handles: map[uint32][]string{}}
		if err := eachRecord(strings.NewReader(line), l.add); err == nil {
			t.Errorf("%s: %+v", line, l.lost)
		}
	}
}

// FuzzLost: a payload is what a client chose, and a prefix any role may.
func FuzzLost(f *testing.F) {
	f.Add(dumped)
	f.Fuzz(func(t *testing.T, said string) {
		l := losses{handles: map[uint32][]string{}}
		if err := eachRecord(strings.NewReader(said), l.add); err == nil && len(l.lost) > 0 && !strings.Contains(said, "COMMIT") {
			t.Errorf("%+v", l.lost)
		}
	})
}

func FuzzHistory(f *testing.F) {
	f.Add("1\t0/3018338\tno recovery target specified\n\n2\t0/401A5B8\tno recovery target specified\n")
	f.Add("2\t0/401A5B8\tno recovery target specified\n3\t0/3018338\tbefore 2026-11-26 00:56:05+00\n")
	f.Add(reserved)
	f.Fuzz(func(t *testing.T, content string) {
		h, err := parseHistory(content)
		if err != nil {
			return
		}
		if again, err := parseHistory(h.upTo(0)); err != nil || len(again) != 0 {
			t.Errorf("%v, %v", again, err)
		}
		for i, turn := range h {
			if end, ok := h.left(turn.Timeline); !ok || end != turn.End || i > 0 && h[i-1].End > end {
				t.Errorf("%v: %v", h, turn)
			}
		}
	})
}
