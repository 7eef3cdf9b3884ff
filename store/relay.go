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
//	POST /v1/write  an op; the answer is a result, or a failure
const (
	watchPath = "/v1/watch"
	writePath = "/v1/write"

	beat      = time.Second
	silence   = 5 * time.Second // without a line: the relay or the link is gone
	maxOp     = 2 * MaxValue    // base64 and the rest of the object
	lineLimit = 10 * time.Second
)

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
	mux.Handle("POST "+writePath, counted(m.serveWrite))
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

func (m *Member) serveWrite(w http.ResponseWriter, r *http.Request) {
	var o op
	err := json.NewDecoder(io.LimitReader(r.Body, maxOp)).Decode(&o)
	if err != nil {
		err = meridian.WithKind(meridian.Malformed, err)
	} else if err = o.check(); err == nil {
		var res result
		if res, err = m.do(r.Context(), o); err == nil {
			json.NewEncoder(w).Encode(res)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	json.NewEncoder(w).Encode(failure{Kind: meridian.KindOf(err), Text: err.Error()})
}
