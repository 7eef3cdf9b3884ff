package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"google.golang.org/grpc/codes"

	"meridian"
)

// retryPause lies between two tries of a write.
const retryPause = 50 * time.Millisecond

// do makes tries of a write until one is answered.
//
// What is proposed to a leader that has just died is lost in silence, and a
// member that is cut from the leader cannot tell. So a try that is not answered
// soon is made again, if need be through another member. Each try is
// conditional on the revision that the first one saw, so that at most one of
// them takes effect, whoever carried it. It need not be answered: a slow one
// may be seen in the view long before a relay that is silent is given up.
func (w writer) do(ctx context.Context, o op) (result, error) {
	t := try{op: o, old: o.OldRev}
	if !o.CAS {
		e, _ := w.Now().Get(o.Key)
		t.old = e.Rev
	}
	for n := 0; ; n++ {
		f, err := w.once(ctx, t, n)
		switch {
		case err == nil:
			next, r := settle(t, f)
			if next == nil {
				return r, nil
			}
			t = *next
		case meridian.KindOf(err) != meridian.Unavailable:
			return result{}, fmt.Errorf("write %s: %w", o.Key, err)
		case ctx.Err() != nil || errors.Is(err, errUnreached):
			return result{}, unavailable(o, err)
		default:
			t.unsure = true
			pause(ctx, retryPause)
		}
	}
}

// once makes the nth try. One that is made again ends as well when the view shows
// that an earlier one took effect.
func (w writer) once(ctx context.Context, t try, n int) (finding, error) {
	if !t.unsure {
		return w.attempt(ctx, t, n)
	}
	ctx, cancel := context.WithCancel(ctx)
	var f finding
	var err error
	done := make(chan struct{})
	go func() { // awaited below
		defer close(done)
		f, err = w.attempt(ctx, t, n)
	}()
	defer func() { cancel(); <-done }()
	for {
		changed := w.Watch()
		if rev, ok := t.shown(w.Now()); ok {
			return finding{did: true, rev: rev}, nil
		}
		select {
		case <-done:
			return f, err
		case <-changed:
		}
	}
}

// A try is one attempt at an op.
type try struct {
	op
	old    int64 // takes effect only if the key's revision is still this
	unsure bool  // an earlier one like it was not answered, and may take effect
}

// shown reports whether a view has what the try was to write, and the view's
// revision. A value that was there before the first try is none of its own.
func (t try) shown(v *View) (rev int64, ok bool) {
	e, ok := v.Get(t.Key)
	return v.Rev(), ok && !t.Delete && e.Rev > t.old && bytes.Equal(e.Value, t.Value)
}

// A finding is what the store answered to a try.
type finding struct {
	did    bool
	rev    int64 // of the store
	exists bool  // of the key, if the try did not take effect
	entry  Entry
}

// settle says what a finding means: a result, or what to try next.
func settle(t try, f finding) (next *try, r result) {
	there := f.exists && bytes.Equal(f.entry.Value, t.Value)
	if t.Delete {
		there = !f.exists
	}
	switch {
	case f.did:
		return nil, result{OK: true, Rev: f.rev}
	case t.unsure && there: // the earlier one did it
		return nil, result{OK: true, Rev: f.rev}
	case t.CAS:
		return nil, result{OK: false, Rev: f.rev}
	case t.Delete && there:
		return nil, result{OK: true, Rev: f.rev}
	}
	// Put and Delete ask nothing of what was there before.
	return &try{op: t.op, old: f.entry.Rev}, result{}
}

// attempt makes the nth try of a write: through this member's own etcd and
// through the other members in turn. It asks only them while this member has no
// leader: it may be the only one that has none.
func (m *Member) attempt(ctx context.Context, t try, n int) (finding, error) {
	if len(m.relays.now()) == 0 || m.led() && n%2 == 0 {
		return m.own(ctx, t)
	}
	f, err := m.relays.attempt(ctx, t)
	if errors.Is(err, errUnreached) && (m.server.Load() != nil || m.founded()) {
		return m.own(ctx, t)
	}
	return f, err
}

// led reports whether this member knows of a leader.
func (m *Member) led() bool {
	s := m.server.Load()
	return s != nil && s.Leader() != 0
}

// own makes a try through this member's etcd, which must have joined by the end
// of ctx.
func (m *Member) own(ctx context.Context, t try) (finding, error) {
	select {
	case <-m.joined:
	case <-ctx.Done():
		return finding{}, passing(fmt.Errorf("this member has not joined yet: %w", ctx.Err()))
	}
	s := m.server.Load()
	if s == nil {
		pause(ctx, retryPause)
		return finding{}, passing(errors.New("this member's etcd is down"))
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Election*2/3)
	defer cancel()
	f, err := txn(ctx, s.client, t)
	switch {
	case err == nil:
		return f, nil
	case mayPass(err):
		return f, passing(err)
	}
	return f, meridian.WithKind(meridian.Internal, err)
}

// passing marks what another try may not meet.
func passing(err error) error { return meridian.WithKind(meridian.Unavailable, err) }

// txn makes one try in etcd.
func txn(ctx context.Context, client *clientv3.Client, t try) (finding, error) {
	do := clientv3.OpPut(t.Key, string(t.Value))
	if t.Delete {
		do = clientv3.OpDelete(t.Key)
	}
	r, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(t.Key), "=", t.old)).
		Then(do).
		Else(clientv3.OpGet(t.Key)).
		Commit()
	if err != nil {
		return finding{}, err
	}
	f := finding{did: r.Succeeded, rev: r.Header.Revision}
	if !f.did {
		for _, kv := range r.Responses[0].GetResponseRange().Kvs {
			f.exists, f.entry = true, Entry{Key: t.Key, Value: kv.Value, Rev: kv.ModRevision}
		}
	}
	return f, nil
}

// mayPass reports whether an error is one of finding no leader or no majority
// in time, or a leader that is handing over, which another try may not meet.
func mayPass(err error) bool {
	if strings.Contains(err.Error(), stopped) || strings.Contains(err.Error(), dropped) {
		return true
	}
	var e rpctypes.EtcdError
	if !errors.As(err, &e) {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	}
	switch e.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// dropped is what raft says of a proposal that it did not take: its leader is
// handing over to another. It comes without a code of its own.
const dropped = "raft proposal dropped"

// stopped is what raft says once its member gave up its seat.
const stopped = "raft: stopped"

// A served is an etcd that is up.
type served struct {
	*etcdserver.EtcdServer
	client *clientv3.Client
}

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
