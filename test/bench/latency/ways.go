package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/client"
	"meridian/test/conduit"
)

const (
	upsert = "insert into pairs values ($1, $2) on conflict (id) do update set v = excluded.v"
	row    = 1
)

// open makes the ways, on connections to a region's own proxy and edge.
func open(ctx context.Context, s client.Status, from string) (ways []way, end func(), err error) {
	i := slices.IndexFunc(s.Regions, func(r client.Region) bool { return r.Name == from })
	j := slices.IndexFunc(s.Edges, func(e client.Edge) bool { return e.Name == from })
	if i < 0 || j < 0 {
		return nil, nil, fmt.Errorf("want a region and an edge in %s", from)
	}
	url := s.Regions[i].Postgres
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	door, err := at(s, s.Edges[j].HTTPS)
	if err != nil {
		conn.Close(ctx)
		return nil, nil, err
	}
	ways = []way{
		{"a warm write by itself", 1, 5 * time.Millisecond, func(ctx context.Context) error {
			_, err := conn.Exec(ctx, upsert, row, 1)
			return err
		}},
		{"a fresh client's first write, its login included", 1, 15 * time.Millisecond, func(ctx context.Context) error { return fresh(ctx, url) }},
	}
	for _, n := range []int{1, 10, 100} {
		ways = append(ways, way{fmt.Sprintf("a pipelined block of %d writes", n), 1, 10 * time.Millisecond, func(ctx context.Context) error { return pipeline(ctx, conn, n) }})
	}
	ways = append(ways, way{"an HTTP request that writes three times, once learned", 1, 15 * time.Millisecond, func(ctx context.Context) error { return thrice(ctx, door) }})
	return append(ways, reads(conn)...), func() { conn.Close(context.WithoutCancel(ctx)); door.Close() }, nil
}

// reads are one for each promise, on a replica that was just written to: the
// ways before them are writes of the same connection.
func reads(conn *pgx.Conn) (ways []way) {
	for _, r := range []struct {
		promise string
		trips   int
	}{{"eventual", 0}, {"bounded(250ms)", 0}, {"session", 0}, {"global", 1}, {"strong", 1}} {
		sql := "/* meridian: consistency=" + r.promise + " */ select v from pairs where id = $1"
		ways = append(ways, way{"a read, " + r.promise, r.trips, 0, func(ctx context.Context) error {
			var v int
			return conn.QueryRow(ctx, sql, row).Scan(&v)
		}})
	}
	own := "/* meridian: consistency=session */ select v from pairs where id = $1"
	return append(ways, way{"a write and a read of it, session", 1, 0, func(ctx context.Context) error {
		if _, err := conn.Exec(ctx, upsert, row, 5); err != nil {
			return err
		}
		var v int
		err := conn.QueryRow(ctx, own, row).Scan(&v)
		if err == nil && v != 5 {
			err = fmt.Errorf("read %d, wrote 5", v)
		}
		return err
	}})
}

func at(s client.Status, addr string) (*conduit.Client, error) {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.CA)
	}
	return conduit.At(conduit.Endpoint{Domain: s.Domain, Addr: addr, Roots: roots}, nil)
}

// fresh logs in and writes, in one flight after the login.
func fresh(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, upsert, pgx.QueryExecModeExec, row, 2)
	return err
}

// pipeline sends BEGIN, n writes and COMMIT at once, each a group of its own.
func pipeline(ctx context.Context, conn *pgx.Conn, n int) error {
	p := conn.PgConn().StartPipeline(ctx)
	send := func(sql string, params ...[]byte) {
		p.SendQueryParams(sql, params, nil, nil, nil)
		p.SendPipelineSync()
	}
	send("begin")
	for range n {
		send(upsert, []byte("1"), []byte("3"))
	}
	send("commit")
	if err := p.Flush(); err != nil {
		return err
	}
	return p.Close()
}

// thrice asks the edge for three writes.
func thrice(ctx context.Context, door *conduit.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, door.Base+"/pairs/1", strings.NewReader("4"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "text/plain")
	res, err := door.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", res.StatusCode, body)
	}
	return err
}
