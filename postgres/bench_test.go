package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkRead measures one prepared read by primary key: past the proxies,
// through the secondary's on its standby, and through the primary's.
func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	direct := w.superuser(pair.standby)
	for _, path := range []struct {
		name string
		conn *pgx.Conn
	}{{"direct", direct}, {"secondary", w.connect(dsn(w.dub))}, {"primary", w.connect(dsn(w.iad))}} {
		b.Run(path.name, func(b *testing.B) {
			var n int
			for b.Loop() {
				if err := path.conn.QueryRow(b.Context(), "select 1 + $1", 1).Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWrite is a function's write in the primary's own region, one client
// and many, in turns with its handle and without.
func BenchmarkWrite(b *testing.B) {
	w := newWorld(b)
	w.exec(w.connect(dsn(w.iad)), "drop table if exists written", "create table written (v int)")
	for _, clients := range []int{1, 8, 64} {
		var conns []*pgx.Conn
		for range clients {
			conns = append(conns, w.attach(w.iad, fmt.Sprintf("writer-%d-%d", clients, len(conns))))
		}
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var took [2]time.Duration
			const turn = 256
			for b.Loop() {
				for i, off := range []bool{false, true} {
					w.iad.noHandles = off
					began := time.Now()
					w.writes(conns, turn)
					took[i] += time.Since(began)
				}
			}
			each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(turn*b.N) }
			b.ReportMetric(each(took[0]), "us/handle")
			b.ReportMetric(each(took[1]), "us/none")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
		})
	}
}

// writes makes so many writes on the connections together.
func (w *world) writes(conns []*pgx.Conn, n int64) {
	var left atomic.Int64
	left.Store(n)
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := c.Exec(w.t.Context(), "insert into written values ($1)", 1); err != nil {
					w.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
