package server

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/client"
)

// TestAWriteThatARegionAndItsStandbyKeptIsListedOnce, the one that was kept
// first; two regions' are two.
func TestAWriteThatARegionAndItsStandbyKeptIsListedOnce(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	w := func(region, lsn string, kept int64) client.LostWrite {
		return client.LostWrite{Region: region, Timeline: 1, LSN: lsn, XID: 7, Kept: at(kept)}
	}
	got := once([]client.LostWrite{w("dub", "0/2", 9), w("dub", "0/1", 5), w("sin", "0/1", 6), w("dub", "0/1", 4)})
	want := []client.LostWrite{w("dub", "0/1", 4), w("sin", "0/1", 6), w("dub", "0/2", 9)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := once(nil); got == nil || len(got) != 0 {
		t.Errorf("of none: %v, want an empty list", got)
	}
}
