package server

import (
	"testing"

	"meridian/config"
	"meridian/postgres/failover"
)

// TestARaisedRecordSaysSinceWhenItIsHeld raises dub's term twice: who follows it
// since term 3 is told that it is the same primary.
func TestARaisedRecordSaysSinceWhenItIsHeld(t *testing.T) {
	tn, _ := newTestTenure(t)
	s := &steward{tenure: tn, self: config.Node{Region: "dub"}}
	tn.write(t, failover.Record{Region: "dub", Term: 3})
	for _, term := range []uint64{5, 8} {
		if err := s.raise(t.Context(), failover.Decision{Do: failover.Raise, Term: term}); err != nil {
			t.Fatal(err)
		}
		if r, _, _ := tn.now(); r.Term != term || r.Took != 3 {
			t.Errorf("raised to %d: %+v", term, r)
		}
	}
	tn.renew(t.Context())
	if r, _, _ := tn.now(); r.Took != 3 || r.Count == 0 {
		t.Errorf("renewed: %+v", r)
	}
}
