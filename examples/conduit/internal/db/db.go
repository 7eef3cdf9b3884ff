// Package db opens the functions' pool of connections.
package db

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Open returns a pool with one connection for each invocation that the process
// may hold at once (AWS_LAMBDA_MAX_CONCURRENCY, else one). It does not connect
// yet: a function starts while its database is away.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read DATABASE_URL: %w", err)
	}
	cfg.MaxConns = 1
	if n, err := strconv.Atoi(os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY")); err == nil && n > 1 {
		cfg.MaxConns = int32(min(n, 64))
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}
