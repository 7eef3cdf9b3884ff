package store

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"meridian"
)

// The relay's protocol is HTTP/1.1:
//
//	GET /v1/watch   a stream of changes, one JSON object a line, the first whole;
//	                at least one each beat, if only an empty one
//	GET /v1/members the members, as a majority has them
//	POST /v1/try    a conditional write; the answer is what the store found, or a
//	                failure. It is never passed on to another member
//	POST /v1/campaign  the leader hears nobody, and wants another elected
const (
	watchPath = "/v1/watch"
	tryPath   = "/v1/try"

	beat      = 500 * time.Millisecond
	silence   = 2 * time.Second // without a line: the relay or the link is gone
	maxTry    = 2 * MaxValue    // base64 and the rest of the object
	lineLimit = 10 * time.Second
)

// A wireTry is a try on its way to a member.
type wireTry struct {
	Key    string `json:"key"`
	Value  []byte `json:"value,omitempty"`
	Delete bool   `json:"delete,omitempty"`
	Old    int64  `json:"old"` // takes effect only if the key's revision is still this; 0: it does not exist
}

// A wireFinding is the answer.
type wireFinding struct {
	Did   bool   `json:"did"`
	Rev   int64  `json:"rev"`             // of the store
	Entry *Entry `json:"entry,omitempty"` // the key as it is, if the try did not take effect
}

// A failure is an error on its way to a follower.
type failure struct {
	Kind meridian.Kind `json:"kind"`
	Text string        `json:"text"`
}

// Serve lets followers watch and write through this member, until ctx is
// canceled or l is closed. A member that has no majority still serves what it
// has.
func (m *Member) Serve(ctx context.Context, l net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	counted := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			serving.Add(1)
			defer serving.Done()
			h(w, r)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+watchPath, counted(func(w http.ResponseWriter, r *http.Request) { m.serveWatch(ctx, w, r) }))
	mux.Handle("GET "+membersPath, counted(m.serveMembers))
	mux.Handle("POST "+tryPath, counted(m.serveTry))
	mux.Handle("POST "+campaignPath, counted(func(w http.ResponseWriter, r *http.Request) { m.serveCampaign(ctx, w, r) }))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: lineLimit}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(l)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (m *Member) serveWatch(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if m.server.Load() == nil && !m.founded() { // it follows others itself: two of them could follow each other
		http.Error(w, "this node is no member of the store now", http.StatusServiceUnavailable)
		return
	}
	out := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	send := func(c change) error {
		if err := out.SetWriteDeadline(time.Now().Add(lineLimit)); err != nil {
			return err
		}
		if err := enc.Encode(c); err != nil {
			return err
		}
		return out.Flush()
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	sent := &View{}
	for {
		changed := m.Watch()
		if v := m.Now(); v.rev > 0 {
			if send(v.since(sent)) != nil {
				return
			}
			sent = v
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// serveTry makes a try through this member's own etcd. Whoever sent it goes on
// to another member if this one is slow, so it must not wait here for long.
func (m *Member) serveTry(w http.ResponseWriter, r *http.Request) {
	var in wireTry
	err := json.NewDecoder(io.LimitReader(r.Body, maxTry)).Decode(&in)
	o := op{Key: in.Key, Value: in.Value, Delete: in.Delete}
	if err != nil {
		err = meridian.WithKind(meridian.Malformed, err)
	} else if m.server.Load() == nil && !m.founded() { // and may never be
		err = passing(errors.New("this node is no member of the store now"))
	} else if err = o.check(); err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), relayPatience)
		defer cancel()
		var f finding
		if f, err = m.own(ctx, try{op: o, old: in.Old}); err == nil {
			out := wireFinding{Did: f.did, Rev: f.rev}
			if f.exists {
				out.Entry = &f.entry
			}
			json.NewEncoder(w).Encode(out)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	json.NewEncoder(w).Encode(failure{Kind: meridian.KindOf(err), Text: err.Error()})
}
