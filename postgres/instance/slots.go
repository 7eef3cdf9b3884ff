package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// Slots makes a physical replication slot for each name that has none, so that
// this PostgreSQL keeps the log that a region has not fetched yet. Names come
// from Slot. A slot that was given up, because its region stayed away for too
// long, is made anew. Other slots are left alone.
//
// On a standby too: should it become the primary, the others find what they
// need there. Its slots follow the primary's.
func (in *Instance) Slots(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return in.unavailable("make replication slots", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range names {
		if err := dropLost(ctx, conn, name); err != nil {
			return err
		}
		r := conn.ExecParams(ctx, "SELECT pg_create_physical_replication_slot($1, true)", texts(name), nil, nil, nil).Read()
		if isDuplicate(r.Err) {
			continue
		}
		if r.Err != nil {
			return fmt.Errorf("replication slot %s: %w", name, r.Err)
		}
	}
	return nil
}

// DropSlots drops the slots of regions that left, which would keep log for
// nobody. One that is in use is an error: its region has not ended yet.
func (in *Instance) DropSlots(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return in.unavailable("drop replication slots", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range names {
		r := conn.ExecParams(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
			WHERE slot_name = $1 AND slot_type = 'physical'`, texts(name), nil, nil, nil).Read()
		if r.Err != nil {
			return fmt.Errorf("drop replication slot %s: %w", name, r.Err)
		}
	}
	return nil
}

// FurtherSlots makes the slots of this region's further standbys, by their
// nodes, and drops those of others, which would keep log for nobody. One that is
// in use is an error: its node has not ended yet.
func (in *Instance) FurtherSlots(ctx context.Context, nodes []string) error {
	var names []string
	for _, node := range nodes {
		names = append(names, FurtherSlot(node))
	}
	if err := in.Slots(ctx, names); err != nil {
		return err
	}
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return in.unavailable("drop replication slots", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r := conn.ExecParams(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE slot_type = 'physical' AND starts_with(slot_name, $1) AND slot_name <> ALL (string_to_array($2, ','))`,
		texts(furtherPrefix, strings.Join(names, ",")), nil, nil, nil).Read()
	if r.Err != nil {
		return fmt.Errorf("drop the replication slots of nodes that left: %w", r.Err)
	}
	return nil
}

// dropLost removes a slot that keeps nothing any more: nobody can stream from
// it, and none of its name can be made while it is there.
func dropLost(ctx context.Context, conn *pgconn.PgConn, name string) error {
	r := conn.ExecParams(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE slot_name = $1 AND wal_status = 'lost' AND NOT active`, texts(name), nil, nil, nil).Read()
	if r.Err != nil {
		return fmt.Errorf("replication slot %s was given up; drop it: %w", name, r.Err)
	}
	return nil
}

// duplicateObject is SQLSTATE 42710: the slot is there.
const duplicateObject = "42710"

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == duplicateObject
}

func texts(values ...string) (params [][]byte) {
	for _, v := range values {
		params = append(params, []byte(v))
	}
	return params
}

// slotPeriod is how often a standby's slots follow the primary's. What they
// hold in between is log that is kept for longer than needed.
const slotPeriod = 5 * time.Second

// keepSlots advances this standby's slots until ctx is
// canceled or it is promoted.
func (in *Instance) keepSlots(ctx context.Context) {
	for wait(ctx, slotPeriod) == nil && in.Role() == Standby {
		if err := in.advanceSlots(ctx); err != nil && ctx.Err() == nil {
			in.log.Debug("replication slots not advanced", "err", err)
		}
	}
}

// A slot keeps the log from a position on.
type slot struct {
	Name string
	From meridian.LSN
}

// advanceSlots moves each of this standby's slots to where the primary's slot
// of that name is. The primary has none of its own region: that one is kept at
// this standby's last checkpoint, from where a rewind would begin.
func (in *Instance) advanceSlots(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	theirs, err := in.slotsAt(ctx, in.dialUpstream, Replication)
	if err != nil {
		return fmt.Errorf("the primary's slots: %w", err)
	}
	ours, err := in.slotsAt(ctx, in.Dial, Superuser)
	if err != nil {
		return fmt.Errorf("this region's slots: %w", err)
	}
	c, err := in.control(ctx, in.data())
	if err != nil {
		return err
	}
	return in.moveSlots(ctx, advances(ours, theirs, c.Redo))
}

// advances returns where to move the slots that are behind.
func advances(ours, theirs []slot, rest meridian.LSN) (to []slot) {
	at := map[string]meridian.LSN{}
	for _, s := range theirs {
		at[s.Name] = s.From
	}
	for _, s := range ours {
		if strings.HasPrefix(s.Name, furtherPrefix) {
			continue // who streams from here moves it
		}
		want, listed := at[s.Name]
		if !listed {
			want = rest
		}
		if want > s.From {
			to = append(to, slot{s.Name, want})
		}
	}
	return to
}

func (in *Instance) slotsAt(ctx context.Context, dial dialer, role string) (slots []slot, err error) {
	conn, err := connect(ctx, dial, role, "postgres", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r := conn.ExecParams(ctx, `SELECT slot_name, restart_lsn FROM pg_replication_slots
		WHERE slot_type = 'physical' AND NOT temporary AND restart_lsn IS NOT NULL`, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	for _, row := range r.Rows {
		from, err := meridian.ParseLSN(string(row[1]))
		if err != nil {
			return nil, err
		}
		slots = append(slots, slot{string(row[0]), from})
	}
	return slots, nil
}

func (in *Instance) moveSlots(ctx context.Context, to []slot) error {
	if len(to) == 0 {
		return nil
	}
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range to {
		r := conn.ExecParams(ctx, "SELECT pg_replication_slot_advance($1, $2::pg_lsn)", texts(s.Name, s.From.String()), nil, nil, nil).Read()
		if r.Err != nil {
			return fmt.Errorf("advance replication slot %s to %s: %w", s.Name, s.From, r.Err)
		}
	}
	return nil
}
