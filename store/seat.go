package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"meridian"
)

// A Seat is one member of the store, as its cluster has it. One that learns
// gets the log and has no vote yet.
type Seat struct {
	ID    uint64 `json:"id"`
	Peer  string `json:"peer"` // its peer URL
	Learn bool   `json:"learn,omitempty"`
}

// membersPath of a relay answers with the seats, as a majority has them.
const membersPath = "/v1/members"

// A seating is what DecideSeats goes by. Members have names here.
type seating struct {
	self   string   // who decides: it leads
	votes  []string // who votes
	learn  []string // who learns
	wanted []string // who should vote; none: nobody says
	failed int      // how often the step before was refused
}

// seatPatience is how often a step is tried before another is: ten seconds.
const seatPatience = 20

// A step changes one seat.
type step struct {
	do  string // add, promote, remove, yield or ""
	who string
	why string
}

// decideSeats says which one change brings the members nearer to those that are
// wanted. A newcomer learns first, and gets its vote when it has the log; where
// two come, the first waits for the second, so that the time with an even number
// of votes is short. A seat is given up once its successor votes. etcd refuses
// what would cost the majority; then another change is tried.
func decideSeats(s seating) step {
	missing := func(have ...[]string) (out []string) {
		for _, w := range s.wanted {
			if !slices.Contains(slices.Concat(have...), w) {
				out = append(out, w)
			}
		}
		return out
	}
	if len(s.wanted) == 0 {
		return step{why: "nobody says who should vote"}
	}
	for _, l := range s.learn {
		if !slices.Contains(s.wanted, l) {
			return step{"remove", l, l + " learns, and is not wanted any more"}
		}
	}
	leaves := slices.DeleteFunc(slices.Clone(s.votes), func(v string) bool { return slices.Contains(s.wanted, v) })
	others := slices.DeleteFunc(slices.Clone(leaves), func(v string) bool { return v == s.self })
	if over := s.failed - seatPatience; over > 0 && over%2 == 1 && len(others) > 0 {
		who := others[over/2%len(others)]
		return step{"remove", who, who + " should not vote, and nothing else could be done first"}
	}
	if out := missing(s.votes, s.learn); len(out) > 0 {
		return step{"add", out[0], out[0] + " should vote: it learns first"}
	}
	if out := missing(s.votes); len(out) > 0 {
		return step{"promote", out[0], out[0] + " learns, and should vote"}
	}
	switch {
	case len(others) > 0:
		return step{"remove", others[0], others[0] + " should not vote"}
	case len(leaves) > 0:
		return step{"yield", s.wanted[0], s.self + " leads, and should not vote"}
	}
	return step{why: "those vote who should"}
}

// seatEvery is how often the leader looks at the seats.
const seatEvery = 500 * time.Millisecond

// KeepSeats changes, while this member leads, one seat after another until those
// vote whom wanted names of the ones that vote now, until ctx is canceled.
func (m *Member) KeepSeats(ctx context.Context, wanted func(votes []string) []string) {
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	said, failed := "", 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d, err := m.seatOnce(ctx, wanted, failed)
		if failed++; err == nil {
			failed = 0
		}
		if text := fmt.Sprint(d, err); d.do != "" && text != said && ctx.Err() == nil {
			m.log.Info("seats of the store", "do", d.do, "who", d.who, "why", d.why, "err", err)
			said = text
		}
	}
}

// seatOnce makes one change, if one is due.
func (m *Member) seatOnce(ctx context.Context, wanted func([]string) []string, failed int) (step, error) {
	s := m.server.Load()
	if s == nil || s.Leader() != s.MemberID() {
		return step{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Election)
	defer cancel()
	seats, err := seatsOf(ctx, s.client)
	if err != nil {
		return step{}, err
	}
	v, ids := seating{self: m.cfg.Name, failed: failed}, map[string]uint64{}
	for _, seat := range seats {
		name := m.nameOf(seat.Peer)
		if ids[name] = seat.ID; seat.Learn {
			v.learn = append(v.learn, name)
		} else {
			v.votes = append(v.votes, name)
		}
	}
	v.wanted = wanted(v.votes)
	d := decideSeats(v)
	switch d.do {
	case "add":
		_, err = s.client.MemberAddAsLearner(ctx, []string{PeerURL(d.who)})
	case "promote":
		_, err = s.client.MemberPromote(ctx, ids[d.who])
	case "remove":
		_, err = s.client.MemberRemove(ctx, ids[d.who])
	case "yield":
		err = s.MoveLeader(ctx, s.Lead(), ids[d.who])
	}
	return d, err
}

// seatsOf asks a majority who the members are.
func seatsOf(ctx context.Context, client *clientv3.Client) (out []Seat, err error) {
	r, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range r.Members {
		if len(m.PeerURLs) > 0 {
			out = append(out, Seat{m.ID, m.PeerURLs[0], m.IsLearner})
		}
	}
	return out, nil
}

// nameOf returns the member with a peer URL.
func (m *Member) nameOf(peer string) string {
	m.seats.mu.Lock()
	defer m.seats.mu.Unlock()
	for name := range m.seats.sockets {
		if PeerURL(name) == peer {
			return name
		}
	}
	return peer
}

// Votes returns the names of those who vote, as this member's own data has it;
// nil if it is none now.
func (m *Member) Votes() (out []string) {
	s := m.server.Load()
	if s == nil {
		return nil
	}
	for _, x := range s.Cluster().Members() {
		if !x.IsLearner {
			out = append(out, m.nameOf(x.PeerURLs[0]))
		}
	}
	slices.Sort(out)
	return out
}

// serveMembers answers with the seats. A node that is no member has none to tell.
func (m *Member) serveMembers(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), relayPatience)
	defer cancel()
	s := m.server.Load()
	err := passing(errors.New("this node is no member of the store now"))
	if s != nil {
		var seats []Seat
		if seats, err = seatsOf(ctx, s.client); err == nil {
			json.NewEncoder(w).Encode(seats)
			return
		}
		err = passing(err)
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	json.NewEncoder(w).Encode(failure{Kind: meridian.KindOf(err), Text: err.Error()})
}

// members asks all relays at once who the members are, and returns the first
// answer.
func (r *relays) members(ctx context.Context) ([]Seat, error) {
	type answer struct {
		seats []Seat
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clients := r.now()
	answers := make(chan answer, len(clients))
	for _, c := range clients {
		go func() { // ends with ctx
			seats, err := membersBy(ctx, c)
			answers <- answer{seats, err}
		}()
	}
	err := errUnreached
	for range clients {
		a := <-answers
		if a.err == nil {
			return a.seats, nil
		}
		err = a.err
	}
	return nil, err
}

func membersBy(ctx context.Context, relay *http.Client) (seats []Seat, err error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relay"+membersPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := relay.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("relay answered %s", resp.Status)
	}
	return seats, json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxTry)).Decode(&seats)
}

// Members asks who the members are.
func (m *Member) Members(ctx context.Context) ([]Seat, error) {
	if s := m.server.Load(); s != nil {
		return seatsOf(ctx, s.client)
	}
	return m.relays.members(ctx)
}

// data is etcd's folder.
func (m *Member) data() string { return filepath.Join(m.cfg.Dir, "etcd") }

// founded reports whether this node has been a member before.
func (m *Member) founded() bool {
	_, err := os.Stat(filepath.Join(m.data(), "member", "wal"))
	return err == nil
}

// takeSeat waits until this node is a member, and returns who are. One that was a
// member is one, until a majority says otherwise. One that was none, where there
// is a cluster already, waits to be added to it; where there is none yet, the
// founders found it.
func (m *Member) takeSeat(ctx context.Context) (c MemberConfig, err error) {
	c = m.cfg
	_, founder := c.Peers[c.Name]
	founder = founder && m.Now().Rev() == 0 // with a copy of a store there was one
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	for {
		if m.founded() {
			c.Peers = withURLs(map[string]string{c.Name: ""}) // etcd goes by its own data
			return c, nil
		}
		seats, err := m.relays.members(ctx)
		if err == nil && len(seats) > 0 {
			founder = false
		}
		if i := slices.IndexFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(c.Name) }); i >= 0 {
			c.existing, c.Peers = true, map[string]string{}
			for _, s := range seats {
				c.Peers[m.nameOf(s.Peer)] = s.Peer
			}
			return c, nil
		}
		if founder {
			c.founding = true
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// misfounded returns a channel that closes once a member that founds a store, and
// waits for the other founders, hears of one that others have without it.
func (m *Member) misfounded(ctx context.Context, c MemberConfig) <-chan struct{} {
	if !c.founding {
		return nil
	}
	out := make(chan struct{})
	go func() { // ends with ctx
		tick := time.NewTicker(seatEvery)
		defer tick.Stop()
		for {
			seats, err := m.relays.members(ctx)
			if err == nil && !slices.ContainsFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(c.Name) }) {
				close(out)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

// errUnseated means that a majority took this member's seat away.
var errUnseated = errors.New("this node is no member of the store any more")

// unseated finds out, when etcd has ended by itself, whether its seat was taken
// away, and removes what it held then: it could not be used again.
func (m *Member) unseated(ctx context.Context, removed bool) error {
	if !removed {
		seats, err := m.relays.members(ctx)
		if err != nil || slices.ContainsFunc(seats, func(s Seat) bool { return s.Peer == PeerURL(m.cfg.Name) }) {
			return nil
		}
	}
	if err := os.RemoveAll(m.data()); err != nil {
		return err
	}
	return errUnseated
}
