package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/client"
)

const table = `create table if not exists pairs (id bigint primary key, v bigint not null)`

// rows numbers the rows of all workers, past those of earlier runs.
var rows = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(time.Now().UnixNano())
	return &n
}()

// connections are the kinds that write and read on one connection, through the
// proxy of each region that is not the primary. They are most of the pairs, as
// they cost least.
func connections(ctx context.Context, s client.Status, consistency string) (kinds []kind, err error) {
	for _, r := range s.Regions {
		if r.Primary {
			if err := prepare(ctx, r.Postgres); err != nil {
				return nil, err
			}
			continue
		}
		kinds = append(kinds, kind{"same connection, " + r.Name, 4, func(ctx context.Context, rng *rand.Rand) (pairer, error) {
			return connect(ctx, r.Postgres, consistency, rng)
		}})
	}
	return kinds, nil
}

func prepare(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, table)
	return err
}

// A session is one connection that reads what it wrote, in each of the ways in
// which programs do that.
type session struct {
	conn *pgx.Conn
	rng  *rand.Rand
	row  int64
	v    int64
}

func connect(ctx context.Context, url, consistency string, rng *rand.Rand) (*session, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, rng: rng, row: rows.Add(1)}
	if consistency != "" {
		_, err = conn.Exec(ctx, "set meridian.consistency = '"+strings.ReplaceAll(consistency, "'", "''")+"'")
	}
	if err == nil {
		_, err = conn.Exec(ctx, "insert into pairs values ($1, 0)", s.row)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.conn.Close(context.Background()) }

func (s *session) pair(ctx context.Context) (string, error) {
	s.v++
	how, err := s.write(ctx)
	if err != nil {
		return "", fmt.Errorf("write by %s: %w", how, err)
	}
	v, read, err := s.read(ctx)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Sprintf("(row %d was written by %s, and %s found none)", s.row, how, read), nil
	case err != nil:
		return "", fmt.Errorf("read by %s: %w", read, err)
	case v != s.v:
		return fmt.Sprintf("(row %d was written as %d by %s and read as %d by %s)", s.row, s.v, how, v, read), nil
	}
	return "", nil
}

const update = "update pairs set v = $2 where id = $1"

// write writes v in one of four ways.
func (s *session) write(ctx context.Context) (how string, err error) {
	switch s.rng.IntN(4) {
	case 0:
		_, err = s.conn.Exec(ctx, update, s.row, s.v)
		return "a prepared statement", err
	case 1:
		_, err = s.conn.Exec(ctx, update, pgx.QueryExecModeSimpleProtocol, s.row, s.v)
		return "a simple query", err
	case 2:
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(update, s.row, s.v)
		b.Queue("commit")
		return "a pipelined block", s.conn.SendBatch(ctx, b).Close()
	}
	return "a block", pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, update, s.row, s.v)
		return err
	})
}

const query = "select v from pairs where id = $1"

// read reads the row in one of three ways.
func (s *session) read(ctx context.Context) (v int64, how string, err error) {
	switch s.rng.IntN(3) {
	case 0:
		err = s.conn.QueryRow(ctx, query, s.row).Scan(&v)
		return v, "a prepared statement", err
	case 1:
		err = s.conn.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol, s.row).Scan(&v)
		return v, "a simple query", err
	}
	err = pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, query, s.row).Scan(&v)
	})
	return v, "a READ ONLY block", err
}
