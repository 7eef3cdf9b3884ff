package server

import (
	"testing"
	"time"

	"meridian"
)

// TestATokenKeyRestsBeforeItSeals: a region that has not heard of a key would
// take its tokens for forged. Control: the old key alone does not open what the
// new one seals.
func TestATokenKeyRestsBeforeItSeals(t *testing.T) {
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	first, second := newTokenKey(begin), newTokenKey(begin.Add(tokenKeyPeriod))
	known := []tokenKeyRecord{first, second}
	tok := meridian.Token{Database: "pets", System: 1, Timeline: 1, LSN: 1}
	for _, tt := range []struct {
		at    time.Time
		known []tokenKeyRecord
		seals string
	}{
		{begin, known[:1], first.ID},
		{second.Created.Add(tokenKeyRest - 1), known, first.ID},
		{second.Created.Add(tokenKeyRest), known, second.ID},
	} {
		ks := tokenKeys(tt.known, tt.at)
		sealed := ks.Seal(tok)
		if len(ks) != len(tt.known) || ks[0].ID != tt.seals || ks.Check(sealed) != nil {
			t.Errorf("at %v: %d keys, %s seals", tt.at, len(ks), ks[0].ID)
		}
		heard := tokenKeys(known[:1], tt.at).Check(sealed) == nil
		if want := tt.seals == first.ID; heard != want {
			t.Errorf("at %v a region that has only the first key believes it: %v", tt.at, heard)
		}
	}
	if ks := tokenKeys(nil, begin); ks != nil {
		t.Errorf("%v", ks)
	}
}
