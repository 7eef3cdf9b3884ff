package failover_test

import (
	"encoding/json"
	"testing"

	"meridian"
	"meridian/postgres/failover"
)

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	for _, p := range []failover.Promise{{}, {Now: meridian.Durability{Quorum: true}}, failover.Promise{}.Ask(meridian.Durability{Sync: "dub"}),
		failover.Promise{Of: "iad,dub"}.Become(failover.Rule{Of: "iad,dub,sin"})} {
		r := failover.Record{Region: "iad", Term: 7, Promise: p}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got failover.Record
		if err := json.Unmarshal(b, &got); err != nil || !got.Promise.Equal(p) {
			t.Errorf("%s is read as %+v, %v", b, got, err)
		}
	}
}
