package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/instance"
)

const (
	streamPatience = 10 * time.Second      // for a successor to stream and catch up, before anything pauses
	streamPoll     = 20 * time.Millisecond // how often that is asked
	nearEnough     = 1 << 20               // bytes of log that a successor receives while transactions end
)

// awaitStream waits until the standby of a region streams from here and has
// nearly all: a primary that stopped without it would leave a log that nobody
// can get.
func (s *steward) awaitStream(ctx context.Context, region meridian.Region) error {
	ctx, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(streamPoll)
	defer tick.Stop()
	for {
		behind, streams, err := s.behind(ctx, c, region)
		if err == nil && streams && behind <= nearEnough {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if !streams {
				return fmt.Errorf("the standby of %s does not stream from %s", region, s.self.Region)
			}
			return fmt.Errorf("the standby of %s is %d bytes of log behind", region, behind)
		}
	}
}

// behind returns how many bytes of log a region's standby has not replayed, and
// whether it streams at all.
func (s *steward) behind(ctx context.Context, c *pgx.Conn, region meridian.Region) (bytes int64, streams bool, err error) {
	err = c.QueryRow(ctx, `SELECT coalesce(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn), 1e18)::bigint
		FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`, instance.Slot(region)).Scan(&bytes)
	return bytes, err == nil, err
}

// connect opens a connection to this region's own PostgreSQL.
func (s *steward) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=/postgres user=%s database=postgres sslmode=disable", instance.Superuser))
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.pg.Dial(ctx) }
	return pgx.ConnectConfig(ctx, cfg)
}
