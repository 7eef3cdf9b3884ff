package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// Config is what an operator may say.
type Config struct {
	Keep   time.Duration // how long a key is remembered; zero: 24 h
	Answer int           // bytes of an answer that is kept, as JSON; zero: 64 KiB
	Lines  int           // connections to the proxy; zero: 8
}

// Deps is what the program provides.
type Deps struct {
	Database Database
	Primary  func() bool // whether this region is the primary's
	Log      *slog.Logger
}

// A Database is the proxy of this region's PostgreSQL, as functions know it too.
type Database interface {
	Attach(env string) (url string, detach func(), err error)
	Begin(ctx context.Context, env string, floor meridian.Token, p meridian.Promise) (end func() meridian.Observation)
}

// A Ledger is one region's way to the ledger of all. Its methods may be called by
// many goroutines at once.
type Ledger struct {
	cfg   Config
	deps  Deps
	turns chan struct{} // one for each line in use

	mu   sync.Mutex // guards what follows
	idle []*line    // the one that was used last is the next: few are open while few are needed
}

// New returns a Ledger. It connects when it is first needed.
func New(c Config, d Deps) *Ledger {
	if c.Keep <= 0 {
		c.Keep = 24 * time.Hour
	}
	if c.Answer <= 0 {
		c.Answer = 64 << 10
	}
	if c.Lines <= 0 {
		c.Lines = 8
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{cfg: c, deps: d, turns: make(chan struct{}, c.Lines)}
	for i := range c.Lines {
		l.idle = append(l.idle, &line{db: d.Database, name: fmt.Sprintf("idempotency-%d-ledger", i)})
	}
	return l
}

// The statements. Who finds a claim that is not made known yet waits for it in
// claimSQL; what it does not return another claim has.
const (
	createSQL = `CREATE SCHEMA IF NOT EXISTS meridian;
CREATE TABLE IF NOT EXISTS meridian.idempotency (
 scope bytea PRIMARY KEY, print bytea NOT NULL, claim text NOT NULL, region text NOT NULL, request text NOT NULL,
 began timestamptz NOT NULL DEFAULT now(), over timestamptz NOT NULL, expires timestamptz NOT NULL,
 done boolean NOT NULL DEFAULT false, answer bytea);
ALTER TABLE meridian.idempotency ADD COLUMN IF NOT EXISTS clean text;
CREATE INDEX IF NOT EXISTS idempotency_expires ON meridian.idempotency (expires)`

	// clean is the claim under which nothing was sent yet that may write. A node
	// that does not know the column leaves that of another claim there, or none.
	claimSQL = `INSERT INTO meridian.idempotency AS l (scope, print, claim, region, request, over, expires, clean)
VALUES ($1, $2, $3, $4, $5, now() + $6::bigint * interval '1 microsecond', now() + $7::bigint * interval '1 microsecond', $3)
ON CONFLICT (scope) DO UPDATE SET print = excluded.print, claim = excluded.claim, region = excluded.region, request = excluded.request,
 began = now(), over = excluded.over, expires = excluded.expires, done = false, answer = NULL, clean = excluded.clean
WHERE l.expires < now() OR l.claim = excluded.claim RETURNING true`

	// touchSQL and takeSQL change one row on conditions that exclude each other:
	// whichever is first, the other changes nothing.
	touchSQL = `UPDATE meridian.idempotency SET clean = NULL WHERE scope = $1 AND claim = $2 AND NOT done`

	takeSQL = `UPDATE meridian.idempotency SET claim = $3, clean = $3, region = $4, request = $5, began = now(),
 over = now() + $6::bigint * interval '1 microsecond', expires = now() + $7::bigint * interval '1 microsecond'
WHERE scope = $1 AND claim = $2 AND clean = $2 AND NOT done AND print = $8`

	lookSQL = `SELECT print, region, request, done, over < now(), answer, claim, coalesce(clean = claim, false) FROM meridian.idempotency WHERE scope = $1`

	settleSQL = `UPDATE meridian.idempotency SET done = true, answer = $3 WHERE scope = $1 AND claim = $2`

	releaseSQL = `DELETE FROM meridian.idempotency WHERE scope = $1 AND claim = $2 AND NOT done`

	sweepSQL = `DELETE FROM meridian.idempotency WHERE scope IN
 (SELECT scope FROM meridian.idempotency WHERE expires < now() ORDER BY expires LIMIT 1000)`
)

// Claim asks for a scope. It may be called again with the same claim, whatever
// its error was: what was asked twice is given once.
func (l *Ledger) Claim(ctx context.Context, c Claim) (e Entry, err error) {
	for try := 1; ; try++ {
		e, err = l.claim(ctx, c)
		switch {
		case err == nil || ctx.Err() != nil:
			return e, err
		case absent(err):
			if err := l.create(ctx); err != nil {
				return e, err
			}
		case !passes(err):
			return e, err
		}
		if try == maxTries {
			return e, err
		}
	}
}

// maxTries bounds how often a claim is asked for again that failed on its way.
const maxTries = 3

func (l *Ledger) claim(ctx context.Context, c Claim) (e Entry, err error) {
	token, err := l.use(ctx, func(ctx context.Context, db *pgx.Conn) error {
		if e, err = claim(ctx, db, c, l.cfg.Keep); err != nil || e.Mine {
			return err
		}
		e, err = look(ctx, db, c)
		return err
	})
	if err != nil {
		return e, fmt.Errorf("claim %s: %w", c.Request, err)
	}
	if e.Mine && token.IsZero() {
		return e, fmt.Errorf("claim %s: the database does not say where its log is", c.Request)
	}
	e.Token = token
	return e, nil
}

func claim(ctx context.Context, db *pgx.Conn, c Claim, keep time.Duration) (e Entry, err error) {
	err = db.QueryRow(ctx, claimSQL, c.Scope[:], c.Print[:], c.ID, string(c.Region), c.Request, c.Within.Microseconds(), keep.Microseconds()).Scan(&e.Mine)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	e.Print, e.Region, e.Request = c.Print, c.Region, c.Request
	return e, err
}

// look reads what another claim left. A row that is gone since was given back.
func look(ctx context.Context, db *pgx.Conn, c Claim) (e Entry, err error) {
	var print, answer []byte
	err = db.QueryRow(ctx, lookSQL, c.Scope[:]).Scan(&print, (*string)(&e.Region), &e.Request, &e.Done, &e.Over, &answer, &e.ID, &e.Clean)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Entry{Print: c.Print}, nil
	case err != nil:
		return e, err
	}
	copy(e.Print[:], print)
	if e.Done && answer != nil {
		e.Answer, err = decode(answer)
	}
	return e, err
}

// Touch notes that something is about to be sent for a claim that may write. From
// then on nobody takes the claim. It returns a position that a history with what is
// written then has. Its error is of kind Forbidden if another took the claim before.
func (l *Ledger) Touch(ctx context.Context, c Claim) (meridian.Token, error) {
	held := false
	token, err := l.again(ctx, func(ctx context.Context, db *pgx.Conn) error {
		tag, err := db.Exec(ctx, touchSQL, c.Scope[:], c.ID)
		held = tag.RowsAffected() > 0
		return err
	})
	switch {
	case err != nil:
		return token, fmt.Errorf("note that %s may write: %w", c.Request, err)
	case !held:
		return token, meridian.WithKind(meridian.Forbidden, fmt.Errorf("the claim of %s is another's by now", c.Request))
	case token.IsZero():
		return token, fmt.Errorf("note that %s may write: the database does not say where its log is", c.Request)
	}
	return token, nil
}

// Take asks for a claim that another has, under which nothing was written. Whether
// it was given the next Claim tells.
func (l *Ledger) Take(ctx context.Context, c Claim, from string) error {
	_, err := l.again(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, takeSQL, c.Scope[:], from, c.ID, string(c.Region), c.Request, c.Within.Microseconds(), l.cfg.Keep.Microseconds(), c.Print[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("take the claim of %s over: %w", c.Request, err)
	}
	return nil
}

// again is use, and use again after an error that may be gone: for what does
// nothing the second time.
func (l *Ledger) again(ctx context.Context, f func(context.Context, *pgx.Conn) error) (token meridian.Token, err error) {
	for try := 1; ; try++ {
		if token, err = l.use(ctx, f); err == nil || ctx.Err() != nil || !passes(err) || try == maxTries {
			return token, err
		}
	}
}

// Settle keeps the answer of an execution. It reports false if the claim is not
// part of the history any more: it went down with an old primary, and so did
// all that was written under it.
func (l *Ledger) Settle(ctx context.Context, c Claim, a Answer) (held bool, err error) {
	_, err = l.again(ctx, func(ctx context.Context, db *pgx.Conn) error {
		tag, err := db.Exec(ctx, settleSQL, c.Scope[:], c.ID, a.encode(l.cfg.Answer))
		held = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("keep the answer of %s: %w", c.Request, err)
	}
	return held, nil
}

// Release gives a claim back of which surely nothing was executed.
func (l *Ledger) Release(ctx context.Context, c Claim) error {
	_, err := l.use(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, releaseSQL, c.Scope[:], c.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("give the claim of %s back: %w", c.Request, err)
	}
	return nil
}

// create makes the ledger, in whichever region it is first needed.
func (l *Ledger) create(ctx context.Context) error {
	_, err := l.use(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, createSQL, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil && !there(err) {
		return fmt.Errorf("make the table meridian.idempotency: %w", err)
	}
	return nil
}

// there reports whether a ledger could not be made because another was made
// meanwhile. IF NOT EXISTS fails of two who make a thing at once one, and how it
// does depends on how far it was when the other's became visible.
func there(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && slices.Contains([]string{"23505", "42P06", "42P07", "42710", "42701"}, e.Code)
}

// absent reports whether there is no ledger yet, or one of an older version.
func absent(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "42P01" || e.Code == "3F000" || e.Code == "42703")
}

// passes reports whether an error may be gone the next time: the connection was
// lost, or the primary, or another transaction stood in the way.
func passes(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return true
	}
	switch e.Code {
	case "MD001", "08007", "08006", "40000", "40001", "40P01", "57P01", "57P02":
		return true
	}
	return false
}

// sweepEvery is how often what has expired is removed.
const sweepEvery = time.Minute

// Run removes what has expired, where the primary is, until ctx is canceled.
func (l *Ledger) Run(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.close()
			return nil
		case <-tick.C:
			l.sweep(ctx)
		}
	}
}

func (l *Ledger) sweep(ctx context.Context) {
	if !l.deps.Primary() {
		return
	}
	for n := int64(1); n > 0 && ctx.Err() == nil; {
		_, err := l.use(ctx, func(ctx context.Context, db *pgx.Conn) error {
			tag, err := db.Exec(ctx, sweepSQL)
			n = tag.RowsAffected()
			return err
		})
		if err != nil && !absent(err) && ctx.Err() == nil {
			l.deps.Log.Warn("cannot remove expired idempotency keys", "error", err)
		}
		if err != nil {
			return
		}
	}
}
