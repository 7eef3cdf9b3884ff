package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// A line is one connection to the proxy, with a name of its own there: what the
// proxy observes under that name is this line's alone.
type line struct {
	db     Database
	name   string
	url    string
	detach func()
	conn   *pgx.Conn // nil while there is none
}

// use lends a line to f, and returns what the database saw of that.
func (l *Ledger) use(ctx context.Context, f func(context.Context, *pgx.Conn) error) (meridian.Token, error) {
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	case <-ctx.Done():
		return meridian.Token{}, fmt.Errorf("wait for a connection to the ledger: %w", context.Cause(ctx))
	}
	n := l.take()
	defer l.give(n)
	if err := n.connect(ctx); err != nil {
		return meridian.Token{}, err
	}
	end := n.db.Begin(ctx, n.name, meridian.Token{}, meridian.Promise{Consistency: &meridian.Consistency{}, Unreachable: meridian.Refuse})
	err := f(ctx, n.conn)
	seen := end().Token
	var told *pgconn.PgError
	if err != nil && !errors.As(err, &told) || n.conn.IsClosed() {
		n.hangUp()
	}
	return seen, err
}

// take returns a line that nobody uses. There is one for each turn.
func (l *Ledger) take() *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	return n
}

func (l *Ledger) give(n *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, n)
}

func (n *line) connect(ctx context.Context) (err error) {
	if n.conn != nil {
		return nil
	}
	if n.url == "" {
		if n.url, n.detach, err = n.db.Attach(n.name); err != nil {
			return err
		}
	}
	c, err := pgx.ParseConfig(n.url)
	if err != nil {
		return fmt.Errorf("the ledger's URL: %w", err)
	}
	// One flight a statement: each is a round trip to the primary.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	n.conn, err = pgx.ConnectConfig(ctx, c)
	if err != nil {
		n.conn = nil
		return fmt.Errorf("connect to the ledger: %w", err)
	}
	return nil
}

func (n *line) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n.conn.Close(ctx)
	n.conn = nil
}

// close ends all lines, each once it is free.
func (l *Ledger) close() {
	for range cap(l.turns) {
		l.turns <- struct{}{} // and keep it: nobody begins any more
		n := l.take()
		if n.conn != nil {
			n.hangUp()
		}
		if n.detach != nil {
			n.detach()
		}
	}
}
