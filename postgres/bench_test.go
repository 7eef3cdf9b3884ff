package postgres

import (
	"testing"

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
