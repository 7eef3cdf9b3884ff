package instance

import (
	"fmt"
	"testing"
	"time"
)

// TestALinkThatDiesInSilenceIsClosedAtBothEnds lets nothing arrive any more,
// and nobody says so: the standby gives the stream up, and the primary's end
// goes with it; when the link is back the standby catches up. Control: without
// time-outs both ends stay as they are.
func TestALinkThatDiesInSilenceIsClosedAtBothEnds(t *testing.T) {
	t.Parallel()
	const soon = 8 * time.Second // the time-outs are 5 s
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guarded=%v", guarded), func(t *testing.T) {
			t.Parallel()
			w := idleWorld(t, "us-east-1", "eu-west-1")
			a, b := w.all[0], w.all[1]
			if !guarded {
				for _, c := range w.all {
					c.cfg.Settings = map[string]string{"wal_receiver_timeout": "0", "wal_sender_timeout": "0"}
				}
			}
			w.start()
			a.must("CREATE TABLE t (n int)")
			b.eventually("SELECT count(*) FROM t", "0")
			sender := a.must("SELECT pid FROM pg_stat_replication")
			receiver := b.must("SELECT pid FROM pg_stat_wal_receiver")
			release := w.hold(b.cfg.Region)
			a.must("INSERT INTO t VALUES (1)")
			gone := func() bool {
				return a.must("SELECT count(*) FROM pg_stat_activity WHERE pid = "+sender) == "0" &&
					b.must("SELECT count(*) FROM pg_stat_activity WHERE pid = "+receiver) == "0"
			}
			began, closed := time.Now(), false
			tick := time.NewTicker(200 * time.Millisecond)
			for !closed && time.Since(began) < soon {
				<-tick.C
				closed = gone()
			}
			tick.Stop()
			if closed != guarded {
				t.Errorf("time-outs: %v, and both ends closed after %v: %v", guarded, time.Since(began).Round(time.Millisecond), closed)
			}
			release()
			b.eventually("SELECT count(*) FROM t", "1")
		})
	}
}
