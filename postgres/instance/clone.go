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

// clone copies the primary's database, or that of a further standby nearby, and
// the log that is written meanwhile. The copy becomes visible whole or not at all.
func (in *Instance) clone(ctx context.Context) error {
	in.stats.clones.Inc()
	err := in.borrow(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if !errors.Is(err, errNoLender) {
		in.log.Info("a further standby's copy is of no use; the primary's is taken", "why", err.Error())
	}
	if err := in.begin(); err != nil {
		return err
	}
	slot := in.cfg.slot()
	err = in.program(ctx, "", "pg_basebackup", "--pgdata", in.partial(),
		"--dbname", conninfo(in.upstream(), slot), "--slot", slot,
		"--wal-method", "stream", "--checkpoint", "fast", "--no-manifest")
	if err != nil {
		return fmt.Errorf("copy the primary's database: %w", err)
	}
	if err := in.configure(in.partial(), Standby); err != nil {
		return err
	}
	return errors.Join(in.finish(), in.settleDebt())
}

// An answer is what the primary said of itself.
type answer struct {
	System     uint64
	Timeline   uint32
	At         meridian.LSN // up to where its log is on its disk
	Recovering bool         // it is not promoted yet
	History    history
}

// ask asks the primary which history it has, and makes sure that it keeps the
// log for this region from now on.
func (in *Instance) ask(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := connect(ctx, in.dialUpstream, Replication, "postgres", map[string]string{"replication": "database"})
	if err != nil {
		return answer{}, meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("ask the primary which database it has: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	a, err := identify(ctx, conn)
	if err != nil {
		return answer{}, fmt.Errorf("ask the primary which database it has: %w", err)
	}
	return a, reserve(ctx, conn, in.cfg.slot())
}

// askTimeout holds a handful of round trips between continents, and a
// connection's making.
const askTimeout = 10 * time.Second

func identify(ctx context.Context, conn *pgconn.PgConn) (a answer, err error) {
	id, err := row(ctx, conn, "IDENTIFY_SYSTEM")
	if err != nil {
		return a, err
	}
	if a.System, err = strconv.ParseUint(id[0], 10, 64); err != nil {
		return a, err
	}
	tl, err := strconv.ParseUint(id[1], 10, 32)
	if err != nil {
		return a, err
	}
	a.Timeline = uint32(tl)
	if a.At, err = meridian.ParseLSN(id[2]); err != nil {
		return a, err
	}
	recovering, err := one(ctx, conn, "SELECT pg_is_in_recovery()")
	if a.Recovering = recovering == "t"; err != nil || a.Timeline == 1 {
		return a, err
	}
	file, err := row(ctx, conn, fmt.Sprintf("TIMELINE_HISTORY %d", a.Timeline))
	if err != nil || len(file) < 2 {
		return a, fmt.Errorf("timeline history %d: %w", a.Timeline, err)
	}
	a.History, err = parseHistory(file[1])
	return a, err
}

func reserve(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	lost, err := one(ctx, conn, "SELECT count(*) FROM pg_replication_slots WHERE wal_status = 'lost' AND NOT active AND slot_name = '"+slot+"'")
	if err == nil && lost != "0" {
		_, err = conn.Exec(ctx, "DROP_REPLICATION_SLOT "+slot).ReadAll()
	}
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE_REPLICATION_SLOT "+slot+" PHYSICAL RESERVE_WAL").ReadAll()
	}
	if err != nil && !isDuplicate(err) {
		return fmt.Errorf("replication slot %s: %w", slot, err)
	}
	return nil
}

// A dialer connects to some PostgreSQL.
type dialer func(context.Context) (net.Conn, error)

// connect logs in over a connection that dial makes.
func connect(ctx context.Context, dial dialer, role, database string, params map[string]string) (*pgconn.PgConn, error) {
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
