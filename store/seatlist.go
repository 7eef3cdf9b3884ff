package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

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
