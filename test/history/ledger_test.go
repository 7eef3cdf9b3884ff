package history_test

import (
	"slices"
	"strings"
	"testing"

	"meridian/test/history"
)

func entry(id int64, call, back int, o history.Outcome, writer string, term int64) history.Entry {
	return history.Entry{ID: id, Call: us(call), Return: us(back), Outcome: o, Writer: writer, Term: term}
}

func TestLedgerTellsWhatIsLostTwiceRevivedAndStrange(t *testing.T) {
	entries := []history.Entry{
		entry(1, 0, 1, history.OK, "a", 1), entry(2, 1, 2, history.OK, "a", 1), entry(3, 2, 3, history.OK, "a", 1),
		entry(4, 3, 4, history.Failed, "", 0), entry(5, 3, 4, history.Failed, "", 0),
		entry(6, 4, 5, history.Unknown, "", 0), entry(7, 4, 5, history.Unknown, "", 0),
	}
	l := history.Once(entries, []int64{1, 3, 3, 5, 6, 99})
	if l.Acknowledged != 3 || len(l.Lost) != 1 || l.Lost[0].ID != 2 || !slices.Equal(l.Twice, []int64{3}) {
		t.Errorf("of three acknowledged, 2 is lost and 3 there twice: %+v", l)
	}
	if len(l.Revived) != 1 || l.Revived[0].ID != 5 || !slices.Equal(l.Strange, []int64{99}) || l.Appeared != 1 || l.Vanished != 1 {
		t.Errorf("5 had failed, 99 is nobody's, 6 appeared, 7 vanished: %+v", l)
	}
}

func TestReignsThatFollowEachOtherAreFine(t *testing.T) {
	// What was asked of the old one while the new one began may be answered late.
	reigns, overlaps := history.Writers([]history.Entry{
		entry(1, 0, 10, history.OK, "a", 1), entry(2, 20, 60, history.OK, "a", 1),
		entry(3, 30, 50, history.OK, "b", 2), entry(4, 70, 80, history.OK, "b", 2),
		entry(5, 90, 95, history.OK, "a", 3),
	})
	if len(overlaps) > 0 || len(reigns) != 3 || reigns[0].Acks != 2 {
		t.Errorf("%v in %+v", overlaps, reigns)
	}
}

func TestTwoWhoAcknowledgeAtOnceAreFound(t *testing.T) {
	for name, entries := range map[string][]history.Entry{
		"after b had in term 2": { // a, b, and a again
			entry(1, 0, 10, history.OK, "a", 1), entry(2, 20, 30, history.OK, "b", 2), entry(3, 40, 50, history.OK, "a", 1)},
		"both acknowledged in term 2": { // one timeline on two nodes
			entry(1, 0, 10, history.OK, "a", 2), entry(2, 20, 30, history.OK, "b", 2)},
		"after term 3 had begun": {
			entry(1, 0, 10, history.OK, "a", 3), entry(2, 20, 30, history.OK, "b", 2)},
	} {
		if _, overlaps := history.Writers(entries); len(overlaps) != 1 || !strings.Contains(overlaps[0], name) {
			t.Errorf("found %q, want %q", overlaps, name)
		}
	}
}
