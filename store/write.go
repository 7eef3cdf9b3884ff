package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"meridian"
)

// retryPause lies between two tries of a write.
const retryPause = 50 * time.Millisecond

// do writes through this member.
//
// What is proposed to a leader that has just died is lost in silence, and for
// an election's time nobody knows that it died. So a try that is not answered
// soon is made again. Each try is conditional on the revision that the first
// one saw, so that at most one of them takes effect.
func (m *Member) do(ctx context.Context, o op) (result, error) {
	select {
	case <-m.joined:
	case <-ctx.Done():
		return result{}, unavailable(o, fmt.Errorf("this member has not joined yet: %w", ctx.Err()))
	}
	t := try{op: o, old: o.OldRev}
	if !o.CAS {
		e, _ := m.Now().Get(o.Key)
		t.old = e.Rev
	}
	for {
		client := m.client.Load()
		if client == nil {
			return result{}, unavailable(o, errors.New("this member's etcd is down"))
		}
		f, err := m.attempt(ctx, client, t)
		switch {
		case err == nil:
			next, r := settle(t, f)
			if next == nil {
				return r, nil
			}
			t = *next
		case !mayPass(err):
			return result{}, meridian.WithKind(meridian.Internal, fmt.Errorf("write %s: %w", o.Key, err))
		case ctx.Err() != nil:
			return result{}, unavailable(o, err)
		default:
			t.unsure = true
			pause(ctx, retryPause)
		}
	}
}

// A try is one attempt at an op.
type try struct {
	op
	old    int64 // takes effect only if the key's revision is still this
	unsure bool  // an earlier one like it was not answered, and may take effect
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

// attempt makes one try.
func (m *Member) attempt(ctx context.Context, client *clientv3.Client, t try) (finding, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Election*2/3)
	defer cancel()
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
// in time, which another try may not meet.
func mayPass(err error) bool {
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

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
