package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestReplicationIsRefusedAndItsAbsenceIsNot says at the start what PostgreSQL takes
// for yes and for no.
func TestReplicationIsRefusedAndItsAbsenceIsNot(t *testing.T) {
	w := newWorld(t)
	for said, code := range map[string]string{"off": "", "OFF": "", "f": "", "fal": "", "no": "", "0": "", "false": "",
		"on": "0A000", "TRUE": "0A000", "y": "0A000", "1": "0A000", "database": "0A000", "o": "22023", "Database": "22023", "nonsense": "22023"} {
		c, err := pgx.Connect(t.Context(), dsn(w.dub)+"&replication="+said)
		if state(err) != code {
			t.Errorf("%s: %v, want %q", said, err, code)
		}
		if err != nil {
			continue
		}
		if get[int](w, c, "select 1") != 1 {
			t.Errorf("%s: no session", said)
		}
		c.Close(t.Context())
	}
	physical := strings.Replace(dsn(w.dub), "/conduit?", "/replication?", 1) + "&replication=true" // as libpq asks for it
	if _, err := pgx.Connect(t.Context(), physical); state(err) != "0A000" {
		t.Errorf("of no database: %v", err)
	}
}
