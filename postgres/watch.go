package postgres

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"meridian"
	"meridian/postgres/pool"
)

// A sample is one answer of the local PostgreSQL.
type sample struct {
	standby  bool
	receives bool           // a standby: it said itself on which timeline it is
	calm     bool           // a primary: it is at or past all that was ever acknowledged on its timeline
	served   meridian.Token // reads here are at least this new, or on a primary about to be
	shown    meridian.Token // and at least this new in any case
	seen     meridian.Token // and at most this new

	flushed  meridian.LSN                     // of a primary: where its own log ends on disk
	standbys map[meridian.Region]meridian.LSN // what its standbys have on theirs, if that was asked
}

// on says on which timeline the sample was taken, at the latest.
func (s *sample) on(timeline uint32) {
	timeline = max(timeline, s.seen.Timeline)
	s.served.Timeline, s.shown.Timeline, s.seen.Timeline = timeline, timeline, timeline
}

// A watch asks the local PostgreSQL for its position, on a connection of its
// own and for all who want to know: one query serves everybody who asked
// before it was sent. It is silent while nobody asks.
type watch struct {
	p       *Proxy
	dial    func(context.Context) (net.Conn, error)
	on      *replica
	further bool // it is of a further standby, which never is the primary
	wake    chan struct{}

	mu      sync.Mutex // guards what follows
	last    sample
	asking  []chan sample // want a sample taken from now on
	waiting waiters       // want the position to be shown
	relying waiters       // want it to be served
	err     error         // why the last query failed, or a backend could not be had
	life    int           // how often the connection was lost

	sure    bool          // the timeline was read once this connection's server was a primary; of run alone
	looked  meridian.LSN  // where this connection's server, a standby that did not receive, was when its timeline was read last; of run alone
	conn    *pool.Backend // nil while there is none; it is used by run alone
	calm    bool          // the standbys have what this PostgreSQL had when it became what it is
	counted bool          // had is known
	had     meridian.LSN  // what that was
	told    ledger

	timed   bool    // this connection's server keeps the time of commits; of run alone
	unshown unshown // of run alone

	confirmed confirmed // by the standbys, as far as it was ever seen
	leaked    uint64    // commits that may show and were not confirmed; counts them
	healed    uint64    // of leaked, which all are confirmed by now
}

func newWatch(p *Proxy, on *replica) *watch {
	return &watch{p: p, dial: on.dial, on: on, further: on.name != "", wake: make(chan struct{}, 1)}
}

// known returns the last sample, however old.
func (w *watch) known() sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// apparent returns what is known to show.
func (w *watch) apparent() meridian.Token {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.shown
}

// primary reports whether PostgreSQL was a primary when it was last asked.
func (w *watch) primary() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.last.standby && w.last.served.System != 0
}

// stands returns the last position, and whether PostgreSQL answers, as far as is
// known.
func (w *watch) stands() (here meridian.Token, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.served, w.conn != nil && w.err == nil && w.last.served.System != 0
}

// showing returns what reads are at least as new as from now on, as far as is known,
// for as long as lifetime stays what it is.
func (w *watch) showing() (shown meridian.Token, life int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.shown, w.life
}

// lifetime tells one PostgreSQL from the one that was started after it.
func (w *watch) lifetime() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

// doubt says that PostgreSQL gave no backend, or lost one: it is not up before it
// was asked again.
func (w *watch) doubt(err error) {
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	w.poke()
}

// sample returns a position taken after the call.
func (w *watch) sample(ctx context.Context) (sample, error) {
	c := make(chan sample, 1)
	w.mu.Lock()
	w.asking = append(w.asking, c)
	w.mu.Unlock()
	w.poke()
	w.p.loops.Slow()
	select {
	case s, ok := <-c:
		if !ok {
			return sample{}, meridian.WithKind(meridian.Unavailable, fmt.Errorf("ask PostgreSQL for its position: %w", w.failure()))
		}
		return s, nil
	case <-ctx.Done():
		return sample{}, fmt.Errorf("ask PostgreSQL for its position: %w", ctx.Err())
	}
}

func (w *watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// run serves until ctx is canceled.
func (w *watch) run(ctx context.Context) {
	var conn *pool.Backend
	defer func() {
		if conn != nil {
			conn.Close()
		}
		w.fail(context.Canceled)
	}()
	refresh, retry := time.NewTicker(time.Second), time.NewTimer(0)
	defer refresh.Stop()
	defer retry.Stop()
	var id meridian.Token
	for {
		var err error
		if conn == nil {
			w.sure, w.looked = false, 0
			retry.Reset(w.reconnects())
			if conn, id, err = w.connect(ctx); err != nil {
				w.fail(err)
			} else {
				w.mu.Lock()
				w.conn = conn
				w.mu.Unlock()
				w.poke() // for those who asked meanwhile
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-retry.C: // for the next try to connect
		case <-refresh.C:
			if conn != nil {
				if id, err = w.identify(conn); err == nil {
					err = w.heedCatalogues(conn)
				}
				if err == nil {
					err = w.round(conn, &id, nil)
				}
			}
		case <-w.wake:
			if conn != nil {
				err = w.serve(ctx, conn, &id)
			}
		}
		if err != nil && conn != nil {
			w.fail(err)
			conn.Close()
			conn = nil
			w.mu.Lock()
			w.lost()
			w.mu.Unlock()
			if w.further {
				w.p.dropNears(w.on)
			}
		}
	}
}
