package postgres

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian"
)

// column returns the numbers that a statement reads on a region's PostgreSQL.
func (w *trio) column(r meridian.Region, sql string) map[int]bool {
	w.t.Helper()
	rows, err := w.superuser(w.servers[r]).Query(w.t.Context(), sql)
	if err != nil {
		w.t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[int]bool{}
	for _, v := range values {
		found[v] = true
	}
	return found
}

// writers are clients of all regions that insert numbers, each once, until one
// is not acknowledged.
type writers struct {
	wait   sync.WaitGroup
	cancel func()

	mu    sync.Mutex // guards what follows
	next  int
	acked []int
}

func (w *trio) writers(t *testing.T, table string, n int) *writers {
	ctx, cancel := context.WithCancel(context.Background())
	s := &writers{cancel: cancel}
	t.Cleanup(s.end)
	for i := range n {
		c := w.connect(dsn(w.proxies[trioRegions[i%len(trioRegions)]]))
		s.wait.Go(func() {
			for {
				v := s.take()
				if _, err := c.Exec(ctx, "insert into "+table+" values ($1)", v); err != nil {
					return
				}
				s.told(v)
			}
		})
	}
	return s
}

func (s *writers) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

func (s *writers) told(v int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, v)
}

func (s *writers) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func (s *writers) all() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.acked...)
}

// end ends the clients that still write.
func (s *writers) end() {
	s.cancel()
	s.wait.Wait()
}
