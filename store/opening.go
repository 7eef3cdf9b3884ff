package store

import (
	"context"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/raft/v3/raftpb"
)

// openingTick is how often the founder that opens asks.
const openingTick = 50 * time.Millisecond

// open has a store that is being founded elect its first leader, in the founder
// that Opens names: as soon as another is there to vote. raft would wait for an
// election timeout first, seconds, since it does not know that nobody leads.
//
// The message is what a leader says to the one to which it hands the lead. It has
// the term of the founding: once anybody has campaigned it is passed over.
func (m *Member) open(ctx context.Context, c MemberConfig, e *embed.Etcd) {
	if !c.founding || c.Name != c.Opens {
		return
	}
	tick := time.NewTicker(openingTick)
	defer tick.Stop()
	self, term, asked := uint64(e.Server.MemberID()), uint64(1), false
	for e.Server.Leader() == 0 {
		// Another is heard, and all founders have taken effect here.
		if m.heard.Load() > 0 && e.Server.AppliedIndex() >= uint64(len(c.Peers)) {
			err := e.Server.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &self, To: &self, Term: &term})
			if !asked {
				m.log.Info("this member opens the store", "err", err)
			}
			asked = true
		}
		select {
		case <-ctx.Done():
			return
		case <-e.Server.StoppingNotify():
			return
		case <-tick.C:
		}
	}
}
