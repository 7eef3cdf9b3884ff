package postgres

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"meridian"
	"meridian/postgres/pool"
)

// positionSQL asks how far a server has come: the position up to which reads
// are served, and the newest that a read may have seen. On a primary both are
// the flushed position, which is at or past every acknowledged commit; never
// the insert position, which may lie past what is ever replayed. A standby's
// control file tells of a new timeline only at its next restart point, minutes
// later; what it receives tells at once.
const positionSQL = `SELECT r, CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
 CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_flush_lsn() END,
 CASE WHEN r THEN coalesce((SELECT received_tli FROM pg_stat_get_wal_receiver()), 0) ELSE 0 END
 FROM (SELECT pg_is_in_recovery() AS r) AS s`

// identitySQL asks for the system and the timeline. A standby follows the
// newest timeline whose history it has.
const identitySQL = `SELECT (SELECT system_identifier FROM pg_control_system()),
 CASE WHEN pg_is_in_recovery()
  THEN (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline,
    (SELECT max(('x' || substr(name, 1, 8))::bit(32)::bigint) FROM pg_ls_waldir() WHERE name LIKE '%.history'))
   FROM pg_control_checkpoint() AS c, pg_control_recovery() AS r)::bigint
  ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END`

// A sample is one answer of the local PostgreSQL.
type sample struct {
	standby bool
	served  meridian.Token // reads here are at least this new, or on a primary about to be
	shown   meridian.Token // and at least this new in any case
	seen    meridian.Token // and at most this new

	flushed  meridian.LSN                     // of a primary: where its own log ends on disk
	standbys map[meridian.Region]meridian.LSN // what its standbys have on theirs, if that was asked
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

// A waiter waits for a position.
type waiter struct {
	floor meridian.Token
	done  chan struct{}
	index int // in the heap; -1 once it is out
}

// waiters is a heap, the lowest position first.
type waiters []*waiter

func (h waiters) Len() int { return len(h) }
func (h waiters) Less(i, j int) bool {
	a, b := h[i].floor, h[j].floor
	return a.Timeline < b.Timeline || a.Timeline == b.Timeline && a.LSN < b.LSN
}
func (h waiters) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *waiters) Push(x any)   { w := x.(*waiter); w.index = len(*h); *h = append(*h, w) }
func (h *waiters) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h, w.index = old[:len(old)-1], -1
	return w
}

// release lets those go whose position is reached.
func (h *waiters) release(here meridian.Token) {
	for len(*h) > 0 && reached(here, (*h)[0].floor) {
		close(heap.Pop(h).(*waiter).done)
	}
}

// known returns the last sample, however old.
func (w *watch) known() sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// stands returns the last position, and whether PostgreSQL answers, as far as is
// known.
func (w *watch) stands() (here meridian.Token, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.served, w.conn != nil && w.err == nil && w.last.served.System != 0
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

// wait waits until floor is shown, at most for d, and reports whether it is.
func (w *watch) wait(ctx context.Context, floor meridian.Token, d time.Duration) bool {
	return w.waitFor(ctx, &w.waiting, func() meridian.Token { return w.last.shown }, floor, d)
}

// rely is wait for what is confirmed, whether it shows yet or not.
func (w *watch) rely(ctx context.Context, floor meridian.Token, d time.Duration) bool {
	return w.waitFor(ctx, &w.relying, func() meridian.Token { return w.last.served }, floor, d)
}

func (w *watch) waitFor(ctx context.Context, among *waiters, here func() meridian.Token, floor meridian.Token, d time.Duration) bool {
	w.mu.Lock()
	if reached(here(), floor) {
		w.mu.Unlock()
		return true
	}
	me := &waiter{floor: floor, done: make(chan struct{})}
	heap.Push(among, me)
	w.mu.Unlock()
	w.poke()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-me.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.index >= 0 {
		heap.Remove(among, me.index)
	}
	return reached(here(), floor)
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
			w.sure = false
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

// connect opens the connection and reads the identity.
func (w *watch) connect(ctx context.Context) (*pool.Backend, meridian.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.PrimaryTimeout)
	defer cancel()
	conn, err := pool.Connect(ctx, w.dial, w.p.cfg.Watcher, w.p.cfg.Database, nil)
	if err != nil {
		return nil, meridian.Token{}, err
	}
	id, err := w.identify(conn)
	if err == nil {
		err = w.heedCatalogues(conn)
	}
	if err == nil {
		err = w.prepare(conn)
	}
	if err == nil {
		w.timed, err = times(conn)
	}
	if err != nil {
		conn.Close()
		return nil, meridian.Token{}, err
	}
	return conn, id, nil
}

func (w *watch) identify(conn *pool.Backend) (meridian.Token, error) {
	conn.Conn.SetDeadline(time.Now().Add(w.timeout()))
	defer conn.Conn.SetDeadline(time.Time{})
	rows, err := conn.Run(identitySQL)
	if err != nil {
		return meridian.Token{}, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return meridian.Token{}, fmt.Errorf("PostgreSQL's identity has %d rows", len(rows))
	}
	system, err1 := strconv.ParseUint(rows[0][0], 10, 64)
	timeline, err2 := strconv.ParseUint(rows[0][1], 10, 32)
	if err1 != nil || err2 != nil {
		return meridian.Token{}, fmt.Errorf("PostgreSQL's identity is %q", rows[0])
	}
	return meridian.Token{Database: w.p.cfg.Database, System: system, Timeline: uint32(timeline)}, nil
}

// reconnectEvery is how often the local PostgreSQL is tried while it is down:
// it mostly starts again in a fraction of a second.
const reconnectEvery = 25 * time.Millisecond

// reconnects is slower for a further standby, on another machine.
func (w *watch) reconnects() time.Duration {
	if w.further {
		return 8 * reconnectEvery
	}
	return reconnectEvery
}

// watchTimeout bounds a query that PostgreSQL answers in microseconds.
const watchTimeout = 5 * time.Second

// timeout is shorter for a further standby: reads wait for it, and could run
// elsewhere.
func (w *watch) timeout() time.Duration {
	if w.further {
		return min(watchTimeout, w.p.cfg.PrimaryTimeout)
	}
	return watchTimeout
}

// serve asks until nobody wants to know any more.
func (w *watch) serve(ctx context.Context, conn *pool.Backend, id *meridian.Token) error {
	began := time.Now()
	for ctx.Err() == nil {
		w.mu.Lock()
		batch := w.asking
		w.asking = nil
		idle := len(batch) == 0 && len(w.waiting) == 0 && len(w.relying) == 0 && !w.unsettled() && w.err == nil && (len(w.p.replicas) == 1 || w.last.served.System != 0)
		behind := len(w.waiting) > 0 && w.waiting[0].floor.Timeline > id.Timeline
		w.mu.Unlock()
		if idle {
			return nil
		}
		if behind { // it may just have been promoted
			now, err := w.identify(conn)
			if err != nil {
				return err
			}
			*id = now
		}
		if err := w.round(conn, id, batch); err != nil {
			return err
		}
		if w.pending() {
			w.pause(time.Since(began))
		}
	}
	return nil
}

func (w *watch) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asking) == 0 && (len(w.waiting) > 0 || len(w.relying) > 0 || w.unsettled())
}

// pause sleeps between two polls: briefly at first, since replay is mostly a
// few hundred microseconds behind. Go's timers are too coarse for that.
func (w *watch) pause(since time.Duration) {
	if since < 2*time.Millisecond && w.p.demand().none() {
		tv := unix.NsecToTimeval(int64(75 * time.Microsecond))
		unix.Select(0, nil, nil, nil, &tv)
		return
	}
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.wake:
	}
}

// round asks once and tells everybody. A standby that was promoted meanwhile
// is on a new timeline.
func (w *watch) round(conn *pool.Backend, id *meridian.Token, batch []chan sample) error {
	s, err := w.query(conn, *id)
	if err == nil && (s.standby != w.known().standby || !s.standby && !w.sure) {
		if *id, err = w.identify(conn); err == nil {
			s, err = w.query(conn, *id)
		}
	}
	w.sure = w.sure || err == nil && !s.standby
	if err != nil {
		for _, c := range batch {
			close(c)
		}
		return err
	}
	w.mu.Lock()
	w.last, w.err = s, nil
	w.settle(s)
	id.Timeline = s.served.Timeline
	w.waiting.release(s.shown)
	w.relying.release(s.served)
	w.mu.Unlock()
	for _, c := range batch {
		c <- s
	}
	return nil
}

func (w *watch) query(conn *pool.Backend, id meridian.Token) (sample, error) {
	conn.Conn.SetDeadline(time.Now().Add(w.timeout()))
	w.mu.Lock()
	leaked := w.leaked
	w.mu.Unlock()
	ask := w.ask()
	rows, err := conn.Execute(ask)
	if err != nil {
		return sample{}, err
	}
	if len(rows) != 1 || len(rows[0]) != 4 && ask == "p" || len(rows[0]) != 5 && ask != "p" {
		return sample{}, fmt.Errorf("PostgreSQL's position has %d rows", len(rows))
	}
	if tli, err := strconv.ParseUint(rows[0][3], 10, 32); err == nil {
		id.Timeline = max(id.Timeline, uint32(tli))
	}
	s := sample{standby: rows[0][0] == "t", served: id, shown: id, seen: id}
	if w.further && !s.standby {
		return sample{}, errors.New("PostgreSQL of a further standby is a primary")
	}
	if rows[0][1] == "" { // nothing was replayed yet
		return s, nil
	}
	if s.served.LSN, err = meridian.ParseLSN(rows[0][1]); err != nil {
		return sample{}, err
	}
	s.shown = s.served
	if s.seen.LSN, err = meridian.ParseLSN(rows[0][2]); err != nil || s.standby {
		return s, err
	}
	s.flushed = s.seen.LSN
	if len(rows[0]) == 5 {
		s.standbys, err = parseStandbys(rows[0][4])
	}
	at := s.flushed
	switch {
	case err != nil:
	case w.p.insertPositions:
		at, err = inserted(conn)
	case w.p.unflushed.Load() && !w.p.flushedAlone:
		at, err = lastRecord(conn)
	}
	// What the standbys have not confirmed nobody can have seen here, and what
	// they show earlier than the primary is not here yet.
	s.seen.LSN = w.keep(w.p.demand(), s, at, leaked)
	s.served.LSN = s.seen.LSN
	if err == nil {
		s.shown.LSN, err = w.shows(conn, s)
	}
	return s, err
}

// inserted returns the position of a control that must fail.
func inserted(conn *pool.Backend) (meridian.LSN, error) {
	rows, err := conn.Run("SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return 0, err
	}
	return meridian.ParseLSN(rows[0][0])
}

// fail tells all who asked that there is no answer. Those who wait go on
// waiting until their own deadline.
func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	for _, c := range w.asking {
		close(c)
	}
	w.asking = nil
}
