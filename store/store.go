package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
)

// Limits of a key and its value, in bytes.
const (
	MaxKey   = 512
	MaxValue = 64 << 10
)

// A Store is a Member or a Follower. Its methods may be called by many
// goroutines at once.
type Store interface {
	// Now returns the newest view, never nil. Before Run it is empty; then it
	// is the copy on disk, until the cluster answers.
	Now() *View
	// Watch returns a channel that is closed when there is a newer view than
	// at the call. Call it before Now, so that no change falls between.
	Watch() <-chan struct{}
	// Put sets a key. When it returns nil, Now shows it as a rule.
	Put(ctx context.Context, key string, value []byte) error
	// Delete removes a key; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// CompareAndSwap sets a key if its Rev is still oldRev (0: if it does not
	// exist), and reports whether it did. Values of competing writers must
	// differ: a writer whose first try was not answered knows its own by them.
	// After an error of kind Unavailable any write may have happened, or may
	// still happen.
	CompareAndSwap(ctx context.Context, key string, oldRev int64, value []byte) (bool, error)
	// Sync returns nil once Now shows all that was written, by anybody, before
	// the call. It asks a majority, and changes nothing.
	Sync(ctx context.Context) error
	// Run follows the cluster until ctx is canceled. It calls ready once,
	// when there is a view, from disk or from the cluster.
	Run(ctx context.Context, ready func()) error
}

// Deps is what a Member or a Follower is given.
type Deps struct {
	// DialPeer opens a connection to another member's PeerListener. If it is
	// nil, the members' sockets are all in this process's working folder.
	DialPeer     func(ctx context.Context, member string) (net.Conn, error)
	PeerListener net.Listener // other members' connections arrive here; nil if DialPeer is
	// Relays open a connection to a member's Serve, nearest first. A member has
	// those of the others: while it is cut from the leader, it sees and writes
	// through them.
	Relays []func(context.Context) (net.Conn, error)

	Log     *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil counts nothing
}

// writeTimeout bounds a write whose context does not.
const writeTimeout = 15 * time.Second

// seenTimeout bounds how long a write that is done waits to be seen in Now.
const seenTimeout = time.Second

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("key %.80q: want 1 to %d bytes", key, MaxKey))
	}
	return nil
}

func checkValue(key string, value []byte) error {
	if len(value) > MaxValue {
		return meridian.WithKind(meridian.TooLarge, fmt.Errorf("value of %s has %d bytes, at most %d are kept", key, len(value), MaxValue))
	}
	return nil
}

// An op is one write.
type op struct {
	Key    string
	Value  []byte
	Delete bool
	CAS    bool
	OldRev int64
}

func (o op) check() error {
	return errors.Join(checkKey(o.Key), checkValue(o.Key, o.Value))
}

// A result is what became of an op.
type result struct {
	OK  bool  // false only for a compare that did not hold
	Rev int64 // of the store, with the op in it
}

// A writer does ops, and holds the mirror in which they show.
type writer struct {
	*mirror
	// attempt makes the nth try of an op. Its error is of kind Unavailable if
	// another try may do better, and errUnreached if none can.
	attempt func(ctx context.Context, t try, n int) (finding, error)
}

func (w writer) Put(ctx context.Context, key string, value []byte) error {
	_, err := w.write(ctx, op{Key: key, Value: value})
	return err
}

func (w writer) Delete(ctx context.Context, key string) error {
	_, err := w.write(ctx, op{Key: key, Delete: true})
	return err
}

func (w writer) CompareAndSwap(ctx context.Context, key string, oldRev int64, value []byte) (bool, error) {
	return w.write(ctx, op{Key: key, Value: value, CAS: true, OldRev: oldRev})
}

func (w writer) write(ctx context.Context, o op) (bool, error) {
	if err := o.check(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	r, err := w.do(ctx, o)
	if err != nil {
		return false, err
	}
	ctx, cancel = context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	w.await(ctx, r.Rev)
	return r.OK, nil
}

// syncKey is a key that nobody sets, and never a revision that no key has.
const (
	syncKey = "sync"
	never   = math.MaxInt64
)

// Sync makes a write that cannot take effect: its answer says which revision the
// majority is at.
func (w writer) Sync(ctx context.Context) error {
	o := op{Key: syncKey, CAS: true, OldRev: never}
	r, err := w.do(ctx, o)
	if err != nil {
		return err
	}
	w.await(ctx, r.Rev)
	if now := w.Now().Rev(); now < r.Rev {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("the store is at revision %d, and %d is seen here: %w", r.Rev, now, ctx.Err()))
	}
	return nil
}

// unavailable is the one error of a write that found no majority in time.
func unavailable(o op, err error) error {
	return meridian.WithKind(meridian.Unavailable,
		fmt.Errorf("write %s: no majority of the store's members answered: %w", o.Key, err))
}
