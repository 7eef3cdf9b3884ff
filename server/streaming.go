package server

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/instance"
)

const (
	streamPatience = 10 * time.Second      // for a successor to stream and catch up, before anything pauses
	streamStall    = 2 * time.Second       // for it to take any more of the log, or to begin to stream
	streamPoll     = 10 * time.Millisecond // how often that is asked
)

// awaitStream waits until the standby of a region streams from here and has
// replayed what is written at this moment: it is on this timeline then, and
// receives the rest before PostgreSQL stops. A primary that stopped without its
// successor's stream would leave a log that nobody can get.
func (s *steward) awaitStream(ctx context.Context, region meridian.Region) error {
	ctx, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	var begun string
	if err := c.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&begun); err != nil {
		return err
	}
	tick := time.NewTicker(streamPoll)
	defer tick.Stop()
	moved, least := time.Now(), int64(math.MaxInt64)
	for {
		behind, streams := s.behind(ctx, c, region, begun)
		switch {
		case streams && behind <= 0:
			return nil
		case streams && behind < least:
			moved, least = time.Now(), behind
		case !s.alive(region):
			return fmt.Errorf("%s does not answer %s", region, s.self.Region)
		case time.Since(moved) >= streamStall && streams:
			return fmt.Errorf("the standby of %s is %d bytes of log behind, and took none for %v", region, behind, streamStall)
		case time.Since(moved) >= streamStall:
			return fmt.Errorf("the standby of %s does not stream from %s", region, s.self.Region)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the standby of %s is %d bytes of log behind", region, behind)
		}
	}
}

// behind returns how many bytes of the log up to a position a region's standby
// has not replayed, and whether it streams at all.
func (s *steward) behind(ctx context.Context, c *pgx.Conn, region meridian.Region, upTo string) (bytes int64, streams bool) {
	err := c.QueryRow(ctx, `SELECT coalesce(pg_wal_lsn_diff($2::text::pg_lsn, replay_lsn), 1e18)::bigint
		FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`, instance.Slot(region), upTo).Scan(&bytes)
	return bytes, err == nil
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
