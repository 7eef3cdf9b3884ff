// Package postgres_test compares ways to PostgreSQL side by side, in one run on
// one machine: directly, through bare relays, through Meridian's proxy in the
// primary's region and in a secondary's, through PgBouncer and through
// pgpool-II. Run it with `make bench-postgres` on a machine that does nothing
// else: the figures are worth what the machine's quiet is.
package postgres_test
