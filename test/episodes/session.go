package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/test/history"
)

// The tables of all episodes. The ledger has no key, so that an insert that is
// executed twice shows.
const schema = `
create table if not exists episode_lists (k text primary key, v bigint[] not null);
create table if not exists episode_registers (k text primary key, v bigint not null);
create table if not exists episode_ledger (run text not null, id bigint not null);
create index if not exists episode_ledger_run on episode_ledger (run)`

const (
	appendSQL   = `insert into episode_lists as l (k, v) values ($1, array[$2::bigint]) on conflict (k) do update set v = l.v || excluded.v`
	listSQL     = `select v from episode_lists where k = $1`
	writeSQL    = `insert into episode_registers (k, v) values ($1, $2) on conflict (k) do update set v = excluded.v`
	registerSQL = `/* meridian: consistency=strong */ select v from episode_registers where k = $1`
	// The timeline that the WAL is written on counts the terms: each
	// promotion begins one. The slot's name is that of the node's region,
	// though the primary does not use it.
	insertSQL = `insert into episode_ledger (run, id) values ($1, $2) returning
		('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, current_setting('primary_slot_name')`
)

const (
	lists, registers = 6, 4                   // keys
	opPatience       = 8 * time.Second        // for one operation
	pace             = 50 * time.Millisecond  // between the starts of a session's operations
	dialPatience     = 2 * time.Second        //
	retryPace        = 200 * time.Millisecond // between attempts to connect
)

// A run is what the sessions of one episode share.
type run struct {
	name      string // begins every key
	begin     time.Time
	values    atomic.Int64 // that were written; none is written twice
	processes atomic.Int64
	lists     history.Log

	mu       sync.Mutex // guards what follows
	accesses []history.Access
	entries  []history.Entry
	errors   map[string]int
}

func newRun(name string) *run { return &run{name: name, begin: time.Now(), errors: map[string]int{}} }

func (r *run) now() time.Duration { return time.Since(r.begin) }

func (r *run) key(kind string, n int) string { return fmt.Sprintf("%s-%s%d", r.name, kind, n) }

// count notes an error.
func (r *run) count(code string) {
	if code == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[code]++
}

// A session is one client. It connects anew when its connection is lost, and
// is another process of the histories then: what a session was promised ends
// with its connection.
type session struct {
	run     *run
	dice    *rand.Rand
	region  string
	url     string
	conn    *pgx.Conn
	process int
}

// work does one operation after another until the context is over; the one at
// hand is finished.
func (s *session) work(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	defer s.leave()
	for ctx.Err() == nil {
		if s.conn == nil && !s.connect(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(retryPace):
			}
			continue
		}
		op, cancel := context.WithTimeout(context.WithoutCancel(ctx), opPatience)
		s.operate(op)
		cancel()
		if s.conn.IsClosed() {
			s.leave()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// dial opens a connection to a region's proxy.
func dial(ctx context.Context, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	return pgx.Connect(ctx, url)
}

func (s *session) connect(ctx context.Context) bool {
	conn, err := dial(ctx, s.url)
	if err != nil {
		if ctx.Err() == nil {
			s.run.count("connect")
		}
		return false
	}
	s.conn, s.process = conn, int(s.run.processes.Add(1))
	return true
}

func (s *session) leave() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.conn.Close(ctx)
		s.conn = nil
	}
}

// operate does what the dice say.
func (s *session) operate(ctx context.Context) {
	switch n := s.dice.IntN(100); {
	case n < 15:
		s.list(ctx, "", s.appends(1))
	case n < 30:
		s.list(ctx, "", s.reads(1))
	case n < 40:
		s.list(ctx, pgx.ReadOnly, s.reads(2+s.dice.IntN(3)))
	case n < 55:
		s.list(ctx, pgx.ReadWrite, s.mixed(1+s.dice.IntN(4)))
	case n < 65:
		s.register(ctx, true)
	case n < 75:
		s.register(ctx, false)
	default:
		s.insert(ctx)
	}
}

func (s *session) appends(n int) (ops []history.Op) {
	for range n {
		ops = append(ops, history.Op{Append: true, Key: s.run.key("l", s.dice.IntN(lists)), Value: s.run.values.Add(1)})
	}
	return ops
}

func (s *session) reads(n int) (ops []history.Op) {
	for range n {
		ops = append(ops, history.Op{Key: s.run.key("l", s.dice.IntN(lists))})
	}
	return ops
}

func (s *session) mixed(n int) (ops []history.Op) {
	for range n {
		if s.dice.IntN(2) == 0 {
			ops = append(ops, s.appends(1)...)
		} else {
			ops = append(ops, s.reads(1)...)
		}
	}
	return ops
}

// querier is a connection or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// list does a transaction on lists: one statement by itself, or a block in
// REPEATABLE READ, which is snapshot isolation in PostgreSQL.
func (s *session) list(ctx context.Context, mode pgx.TxAccessMode, ops []history.Op) {
	t := history.Txn{Process: s.process, Region: s.region, Ops: ops, Call: s.run.now()}
	var err error
	sent := true
	if mode == "" {
		err = do(ctx, s.conn, &ops[0])
	} else {
		sent, err = s.block(ctx, mode, ops)
	}
	t.Return = s.run.now()
	var code string
	if t.Outcome, code = outcome(err, sent); t.Outcome == history.Unknown {
		t.Return = history.Never
	}
	s.run.count(code)
	t.Note = noteOf(err, sent)
	s.run.lists.Add(t)
}

// block runs the steps as one block; sent: its COMMIT was handed over.
func (s *session) block(ctx context.Context, mode pgx.TxAccessMode, ops []history.Op) (sent bool, err error) {
	tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: mode})
	if err != nil {
		return false, err
	}
	for i := range ops {
		if err := do(ctx, tx, &ops[i]); err != nil {
			tx.Rollback(ctx) // an error closes the connection, which is seen
			return false, err
		}
	}
	return !s.conn.IsClosed(), tx.Commit(ctx)
}

// do does one step, and fills in what it read.
func do(ctx context.Context, q querier, o *history.Op) error {
	sql, args := listSQL, []any{o.Key}
	if o.Append {
		sql, args = appendSQL, []any{o.Key, o.Value}
	}
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	if o.Append {
		rows.Close()
		return rows.Err()
	}
	o.List, err = pgx.CollectOneRow(rows, pgx.RowTo[[]int64])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

func (s *session) register(ctx context.Context, write bool) {
	a := history.Access{Process: s.process, Region: s.region, Key: s.run.key("r", s.dice.IntN(registers)), Write: write, Call: s.run.now()}
	var err error
	if write {
		a.Value = s.run.values.Add(1)
		_, err = s.conn.Exec(ctx, writeSQL, a.Key, a.Value)
	} else {
		err = s.conn.QueryRow(ctx, registerSQL, a.Key).Scan(&a.Value)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
	}
	a.Return = s.run.now()
	var code string
	if a.Outcome, code = outcome(err, true); a.Outcome == history.Unknown {
		a.Return = history.Never
	}
	s.run.count(code)
	a.Note = noteOf(err, true)
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.run.accesses = append(s.run.accesses, a)
}

func (s *session) insert(ctx context.Context) {
	e := history.Entry{ID: s.run.values.Add(1), Region: s.region, Call: s.run.now()}
	err := s.conn.QueryRow(ctx, insertSQL, s.run.name, e.ID).Scan(&e.Term, &e.Writer)
	e.Return = s.run.now()
	var code string
	if e.Outcome, code = outcome(err, true); e.Outcome == history.Unknown {
		e.Return = history.Never
	}
	s.run.count(code)
	e.Note = noteOf(err, true)
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.run.entries = append(s.run.entries, e)
}
