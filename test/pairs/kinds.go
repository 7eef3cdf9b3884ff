package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/cookiejar"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/client"
	"meridian/test/conduit"
)

const table = `create table if not exists pairs (id bigint primary key, v bigint not null)`

// connections are the kinds that write and read on one connection, through the
// proxy of each region that is not the primary.
func connections(ctx context.Context, s client.Status, consistency string) (kinds []kind, err error) {
	var rows atomic.Int64
	rows.Store(time.Now().UnixNano())
	for _, r := range s.Regions {
		if r.Primary {
			conn, err := pgx.Connect(ctx, r.Postgres)
			if err != nil {
				return nil, err
			}
			_, err = conn.Exec(ctx, table)
			conn.Close(ctx)
			if err != nil {
				return nil, err
			}
			continue
		}
		kinds = append(kinds, kind{&tally{kind: "same connection, " + r.Name}, func(ctx context.Context, n int, t *tally) {
			if err := onOne(ctx, r.Postgres, consistency, rows.Add(1), n, t); err != nil {
				t.add(0, 0, "", err)
			}
		}})
	}
	return kinds, nil
}

// onOne makes n pairs on one connection, with a row of its own.
func onOne(ctx context.Context, url, consistency string, row int64, n int, t *tally) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if consistency != "" {
		if _, err := conn.Exec(ctx, "set meridian.consistency = '"+strings.ReplaceAll(consistency, "'", "''")+"'"); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "insert into pairs values ($1, 0)", row); err != nil {
		return err
	}
	for i := range int64(n) {
		if _, err := conn.Exec(ctx, "update pairs set v = $2 where id = $1", row, i+1); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
		var v int64
		switch err := conn.QueryRow(ctx, "select v from pairs where id = $1", row).Scan(&v); {
		case err == pgx.ErrNoRows, err == nil && v != i+1:
			t.add(1, 1, fmt.Sprintf("(row %d was written as %d and read as %d)", row, i+1, v), nil)
		case err != nil:
			return fmt.Errorf("read %d: %w", i, err)
		default:
			t.add(1, 0, "", nil)
		}
	}
	return nil
}

// doors are the kinds that ask by HTTP, as one browser each.
func doors(ctx context.Context, s client.Status) (kinds []kind, err error) {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.CA)
	}
	var regional, remote []client.Edge
	for _, e := range s.Edges {
		isRegion := false
		for _, r := range s.Regions {
			isRegion = isRegion || r.Name == e.Name
		}
		if isRegion {
			regional = append(regional, e)
		} else {
			remote = append(remote, e)
		}
	}
	if len(regional) < 3 || len(remote) < 2 {
		return nil, fmt.Errorf("want edges in three regions and at two other places, found %d and %d", len(regional), len(remote))
	}
	for _, d := range []struct {
		kind        string
		write, read client.Edge
	}{
		{"another connection", regional[1], regional[1]},
		{"another edge", remote[0], remote[1]},
		{"another region", regional[1], regional[2]},
	} {
		kinds = append(kinds, kind{&tally{kind: fmt.Sprintf("%s, %s to %s", d.kind, d.write.Name, d.read.Name)}, func(ctx context.Context, n int, t *tally) {
			if err := browse(ctx, s.Domain, roots, d.write.HTTPS, d.read.HTTPS, n, t); err != nil {
				t.add(0, 0, "", err)
			}
		}})
	}
	return kinds, nil
}

// browse makes n pairs as one user with one jar and two connections.
func browse(ctx context.Context, domain string, roots *x509.CertPool, write, read string, n int, t *tally) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	at := func(addr string) (*conduit.Client, error) {
		return conduit.At(conduit.Endpoint{Domain: domain, Addr: addr, Roots: roots}, jar)
	}
	writer, err := at(write)
	if err != nil {
		return err
	}
	defer writer.Close()
	reader, err := at(read)
	if err != nil {
		return err
	}
	defer reader.Close()
	name := "p" + strings.ToLower(rand.Text()[:16])
	a, err := writer.Do(ctx, "POST", "/api/users", map[string]any{"user": map[string]any{"username": name, "email": name + "@example.test", "password": "pa55 word"}})
	if err != nil || a.Status != 201 {
		return errors.Join(fmt.Errorf("register: %v", a), err)
	}
	token := a.Text("user.token")
	for range n {
		stale, err := conduit.Pairs(ctx, writer.As(token), reader.As(token), 1)
		if err != nil {
			return err
		}
		t.add(1, stale, "", nil)
	}
	return nil
}
