package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// campaignPath of a relay takes a campaign.
const campaignPath = "/v1/campaign"

// A campaign is what a leader that hears nobody asks of who hears it: to be
// elected in its place. It waits for no answer.
type campaign struct {
	From uint64 `json:"from"` // the leader
	Term uint64 `json:"term"` // raft's, in which it leads
}

// call sends c over all relays at once.
func (r *relays) call(ctx context.Context, c campaign) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	body, err := json.Marshal(c)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	for _, relay := range r.now() {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://relay"+campaignPath, bytes.NewReader(body))
			if err != nil {
				return
			}
			if resp, err := relay.Do(req); err == nil { // it is not that deaf
				resp.Body.Close()
			}
		})
	}
	all.Wait()
}

// A candidacy is what a member goes by when it is asked to campaign.
type candidacy struct {
	asked campaign
	place
}

// A place is that of a member in raft, as it knows.
type place struct {
	self   uint64 // 0: its etcd is down
	leader uint64 // 0: none is known here
	term   uint64 // of the newest entry that took effect here
	votes  []uint64
}

// decideCampaign says whether a member campaigns, and in which turn: two that
// did at once could take each other's votes. Only its leader's word counts, as
// raft lets no other depose one that is heard; whoever wins has the votes and
// the log.
func decideCampaign(c candidacy) (turn int, ok bool, why string) {
	switch {
	case c.self == 0:
		return 0, false, "this node's etcd is down"
	case c.leader != c.asked.From:
		return 0, false, fmt.Sprintf("%x asks, and %x leads", c.asked.From, c.leader)
	case c.term != c.asked.Term:
		return 0, false, fmt.Sprintf("%x leads term %d, and asks in term %d", c.leader, c.term, c.asked.Term)
	}
	others := slices.DeleteFunc(slices.Clone(c.votes), func(v uint64) bool { return v == c.leader })
	slices.Sort(others)
	at := slices.Index(others, c.self)
	if at < 0 {
		return 0, false, "this member does not vote"
	}
	// Who is first changes with the term: it may be one that cannot win.
	turn = (at + int(c.term%uint64(len(others)))) % len(others)
	return turn, true, fmt.Sprintf("the leader of term %d hears nobody; this is number %d of %d to be elected", c.term, turn+1, len(others))
}

// place returns where this member is, and its etcd; nil while that is down.
func (m *Member) place() (*served, place) {
	s := m.server.Load()
	if s == nil {
		return nil, place{}
	}
	return s, place{self: uint64(s.MemberID()), leader: s.Lead(), term: s.Term(), votes: s.votes()}
}

// votes returns the members that vote.
func (s *served) votes() (out []uint64) {
	for _, x := range s.Cluster().Members() {
		if !x.IsLearner {
			out = append(out, uint64(x.ID))
		}
	}
	return out
}

// serveCampaign campaigns in this member's turn, if the lead is still to be had.
func (m *Member) serveCampaign(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var asked campaign
	if err := json.NewDecoder(io.LimitReader(r.Body, maxTry)).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, at := m.place()
	if turn, ok, _ := decideCampaign(candidacy{asked, at}); ok {
		pause(ctx, m.cfg.Election/2*time.Duration(turn))
	}
	s, at := m.place()
	_, ok, why := decideCampaign(candidacy{asked, at})
	if !ok {
		m.log.Info("this member was asked to lead the store, and does not", "why", why)
		return
	}
	// What etcd's own leader says to the one to which it hands the lead. Its own
	// hand-over would wait to hear that the other has the whole log.
	err := s.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &at.leader, To: &at.self, Term: &at.term})
	m.log.Info("this member asks for the votes of the store", "why", why, "err", err)
}
