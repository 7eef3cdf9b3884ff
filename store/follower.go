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
	"time"

	"meridian"
)

// FollowerConfig says where a follower keeps its copy.
type FollowerConfig struct {
	Dir string
}

// A Follower has no vote: it sees the store through a member's relay, the
// nearest first, and moves to the next when one falls silent. It stays with one
// that works, near or far: going back would be worth less than it could cost.
type Follower struct {
	writer
	relays []*http.Client
}

const (
	reachTimeout = 3 * time.Second // for a connection to one relay
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// NewFollower makes cfg.Dir.
func NewFollower(cfg FollowerConfig, deps Deps) (*Follower, error) {
	if cfg.Dir == "" || len(deps.Relays) == 0 {
		return nil, meridian.WithKind(meridian.Invalid, errors.New("store follower: want a folder and at least one relay"))
	}
	mirror, err := newMirror(cfg.Dir, &deps)
	if err != nil {
		return nil, fmt.Errorf("store follower: %w", err)
	}
	f := &Follower{}
	for _, open := range deps.Relays {
		f.relays = append(f.relays, &http.Client{Transport: transport(open)})
	}
	f.writer = writer{mirror: mirror, do: f.do}
	return f, nil
}

// errUnreached marks that a request was never sent.
var errUnreached = errors.New("no connection to the relay")

func transport(open func(context.Context) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, reachTimeout)
			defer cancel()
			c, err := open(ctx)
			if err != nil {
				return nil, errors.Join(errUnreached, err)
			}
			return c, nil
		},
		// A kept connection may be one whose link is cut: a write would wait on
		// it, and must not be sent twice.
		DisableKeepAlives: true,
	}
}

// Run implements Store. It never returns an error: without a relay it goes on
// with the last good copy, and keeps asking.
func (f *Follower) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	if f.restore() {
		ready()
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { f.keep(ctx) })
	wait := firstPause
	for n := 0; ctx.Err() == nil; n++ {
		err := f.watch(ctx, f.relays[n%len(f.relays)], func() {
			wait = firstPause
			ready()
		})
		f.stats.connected.Set(0)
		f.log.Debug("relay lost, trying the next", "err", err)
		if (n+1)%len(f.relays) != 0 {
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, longestPause)
	}
	return nil
}

// watch follows one relay until it is silent, ends, or ctx does.
func (f *Follower) watch(ctx context.Context, relay *http.Client, news func()) error {
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
		f.stats.connected.Set(1)
		f.apply(c)
		news()
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

// do writes through the first relay that can be reached. One that may have got
// the op is the last that is asked.
func (f *Follower) do(ctx context.Context, o op) (result, error) {
	err := errUnreached
	for _, relay := range f.relays {
		var r result
		if r, err = send(ctx, relay, o); !errors.Is(err, errUnreached) {
			return r, err
		}
	}
	return result{}, unavailable(o, err)
}

func send(ctx context.Context, relay *http.Client, o op) (r result, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	// An io.Reader alone: net/http must not send it a second time by itself.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://relay"+writePath, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return r, err
	}
	resp, err := relay.Do(req)
	if err != nil {
		return r, unavailable(o, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var fail failure
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxOp)).Decode(&fail); err != nil {
			return r, unavailable(o, fmt.Errorf("relay answered %s", resp.Status))
		}
		return r, meridian.WithKind(fail.Kind, errors.New(fail.Text))
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxOp)).Decode(&r); err != nil {
		return r, unavailable(o, err)
	}
	return r, nil
}
