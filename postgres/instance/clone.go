package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// clone copies the primary's database, and the log that it writes meanwhile.
// The copy becomes visible whole or not at all.
func (in *Instance) clone(ctx context.Context) error {
	if err := in.begin(); err != nil {
		return err
	}
	in.stats.clones.Inc()
	slot := Slot(in.cfg.Region)
	err := in.program(ctx, "", "pg_basebackup", "--pgdata", in.partial(),
		"--dbname", conninfo(in.upstream(), slot), "--slot", slot,
		"--wal-method", "stream", "--checkpoint", "fast", "--no-manifest")
	if err != nil {
		return fmt.Errorf("copy the primary's database: %w", err)
	}
	if err := in.configure(in.partial(), Standby); err != nil {
		return err
	}
	return in.finish()
}

// ask returns the primary's system identifier, and makes sure that it keeps
// the log for this region from now on.
func (in *Instance) ask(ctx context.Context) (uint64, error) {
	if in.deps.Upstream == nil {
		return 0, errors.New("no way to the primary was given")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := connect(ctx, in.deps.Upstream, Replication, "", map[string]string{"replication": "true"})
	if err != nil {
		return 0, meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("ask the primary which database it has: %w", err))
	}
	defer conn.Close(ctx)
	sys, err := identify(ctx, conn)
	if err != nil {
		return 0, err
	}
	return sys, reserve(ctx, conn, Slot(in.cfg.Region))
}

// askTimeout holds a handful of round trips between continents, and a
// connection's making.
const askTimeout = 10 * time.Second

func identify(ctx context.Context, conn *pgconn.PgConn) (uint64, error) {
	rows, err := conn.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		return 0, fmt.Errorf("ask the primary which database it has: %w", err)
	}
	if len(rows) != 1 || len(rows[0].Rows) != 1 || len(rows[0].Rows[0]) == 0 {
		return 0, errors.New("ask the primary which database it has: it answered no row")
	}
	return strconv.ParseUint(string(rows[0].Rows[0][0]), 10, 64)
}

// duplicateObject is SQLSTATE 42710: the slot is there.
const duplicateObject = "42710"

func reserve(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	_, err := conn.Exec(ctx, "CREATE_REPLICATION_SLOT "+slot+" PHYSICAL RESERVE_WAL").ReadAll()
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == duplicateObject {
		return nil
	}
	if err != nil {
		return fmt.Errorf("replication slot %s: %w", slot, err)
	}
	return nil
}

// connect logs in over a connection that dial makes.
func connect(ctx context.Context, dial func(context.Context) (net.Conn, error), role, database string, params map[string]string) (*pgconn.PgConn, error) {
	// Everything that ParseConfig would take from the environment is named.
	cfg, err := pgconn.ParseConfig("host=postgres port=5432 user=x password='' dbname=x sslmode=disable passfile='' servicefile='' application_name=meridian connect_timeout=0 target_session_attrs=any")
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Database, cfg.RuntimeParams = role, database, params
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return pgconn.ConnectConfig(ctx, cfg)
}
