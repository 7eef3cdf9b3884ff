package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// Slots makes a physical replication slot for each name that has none, so that
// the primary keeps the log that a region has not fetched yet. Names come from
// Slot. It leaves other slots alone.
func (in *Instance) Slots(ctx context.Context, names []string) error {
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return fmt.Errorf("replication slots of %s: %w", in.cfg.Region, err)
	}
	defer conn.Close(ctx)
	for _, name := range names {
		r := conn.ExecParams(ctx, "SELECT pg_create_physical_replication_slot($1, true)", [][]byte{[]byte(name)}, nil, nil, nil).Read()
		if pg := (*pgconn.PgError)(nil); errors.As(r.Err, &pg) && pg.Code == duplicateObject {
			continue
		}
		if r.Err != nil {
			return fmt.Errorf("replication slot %s: %w", name, r.Err)
		}
	}
	return nil
}
