package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
)

// relays are ways to other members of the store, the nearest first.
type relays struct {
	mu      sync.Mutex // guards what follows
	clients []*http.Client

	first atomic.Int64 // counts up; the one to begin a write with: the last that answered
}

func newRelays(open []func(context.Context) (net.Conn, error)) *relays {
	r := &relays{}
	r.set(open)
	return r
}

// set says which ways there are from now on.
func (r *relays) set(open []func(context.Context) (net.Conn, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = nil
	for _, o := range open {
		r.clients = append(r.clients, &http.Client{Transport: transport(o)})
	}
}

// now returns the ways of now.
func (r *relays) now() []*http.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients
}

// relayPatience bounds one try through one relay: the way there, and the time
// that the member takes to find that it has no leader. With it a renewal of the
// right to write outlives one silent relay.
const relayPatience = 2 * time.Second

// errUnreached marks that a request was never sent.
var errUnreached = errors.New("no connection to the relay")

func transport(open func(context.Context) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, relayPatience)
			defer cancel()
			c, err := open(ctx)
			if err != nil {
				return nil, errors.Join(errUnreached, err)
			}
			return c, nil
		},
		// A kept connection may be one whose link is cut: a write would wait on it.
		DisableKeepAlives: true,
	}
}

// attempt makes a try through the first relay that can be reached. One that
// does not answer it is not asked again before the others were.
func (r *relays) attempt(ctx context.Context, t try) (f finding, err error) {
	err = passing(errUnreached)
	clients := r.now()
	for range clients {
		first := r.first.Load()
		if f, err = send(ctx, clients[int(first)%len(clients)], t); err == nil {
			return f, nil
		}
		r.first.CompareAndSwap(first, first+1)
		if ctx.Err() != nil || !errors.Is(err, errUnreached) {
			break
		}
	}
	return f, err
}

// send makes a try through a relay.
func send(ctx context.Context, relay *http.Client, t try) (f finding, err error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	body, err := json.Marshal(wireTry{Key: t.Key, Value: t.Value, Delete: t.Delete, Old: t.old})
	if err != nil {
		return f, err
	}
	// An io.Reader alone: net/http must not send it a second time by itself.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://relay"+tryPath, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return f, err
	}
	resp, err := relay.Do(req)
	if err != nil {
		return f, passing(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var fail failure
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxTry)).Decode(&fail); err != nil {
			return f, passing(fmt.Errorf("relay answered %s", resp.Status))
		}
		return f, meridian.WithKind(fail.Kind, errors.New(fail.Text))
	}
	var w wireFinding
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTry)).Decode(&w); err != nil {
		return f, passing(err)
	}
	f = finding{did: w.Did, rev: w.Rev, exists: w.Entry != nil}
	if f.exists {
		f.entry = *w.Entry
	}
	return f, nil
}

// trail feeds a mirror from one relay after another until ctx is canceled: it
// stays with one that works, near or far, and leaves one that falls silent.
func (r *relays) trail(ctx context.Context, into *mirror, heard, lost func()) {
	wait := firstPause
	for n := 0; ctx.Err() == nil; n++ {
		clients := r.now()
		if len(clients) == 0 { // the only member
			pause(ctx, longestPause)
			continue
		}
		err := watch(ctx, clients[n%len(clients)], func(c change) {
			wait = firstPause
			into.apply(c)
			heard()
		})
		lost()
		into.log.Debug("relay lost, trying the next", "err", err)
		if (n+1)%len(clients) != 0 {
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, longestPause)
	}
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// watch follows one relay until it is silent, ends, or ctx does.
func watch(ctx context.Context, relay *http.Client, news func(change)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing for %v", silence)) })
	defer quiet.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relay"+watchPath, nil)
	if err != nil {
		return err
	}
	resp, err := relay.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("relay answered %s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		c, err := readChange(lines)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		quiet.Reset(silence)
		news(c)
	}
}

// readChange reads one line of a relay's stream.
func readChange(r *bufio.Reader) (change, error) {
	var c change
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxCopy {
			return c, errors.New("line too long")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return c, err
		}
	}
	return c, json.Unmarshal(line, &c)
}
