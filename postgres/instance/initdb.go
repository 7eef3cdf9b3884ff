package instance

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// initdb makes a new database with its roles. It becomes visible whole or not
// at all.
func (in *Instance) initdb(ctx context.Context) error {
	var err error
	for _, locale := range in.locales() {
		if err = in.begin(); err != nil {
			return err
		}
		args := append([]string{
			"--pgdata", in.partial(), "--username", Superuser, "--auth", "trust",
			"--encoding", "UTF8", "--data-checksums", "--no-instructions",
		}, locale...)
		if err = in.program(ctx, "", "initdb", args...); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("make the database of %s: %w", in.cfg.Region, err)
	}
	if err := in.configure(in.partial(), Primary); err != nil {
		return err
	}
	if err := in.bootstrap(ctx); err != nil {
		return fmt.Errorf("make the roles and database %q: %w", in.cfg.Database, err)
	}
	return in.finish()
}

// locales returns what to try, best first. All sort by code point: regions
// whose C libraries sort differently would corrupt each other's indexes.
func (in *Instance) locales() [][]string {
	var try [][]string
	if in.bin.Major() >= 17 {
		try = append(try, []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"})
	}
	return append(try, []string{"--locale=C.UTF-8"}, []string{"--locale=C"})
}

// bootstrap runs PostgreSQL on its data alone, without a server.
func (in *Instance) bootstrap(ctx context.Context) error {
	return in.program(ctx, strings.Join(in.cfg.founding(), "\n")+"\n", "postgres",
		"--single", "-D", in.partial(), "-c", "exit_on_error=on", "postgres")
}

// founding returns the first statements of a database, each on one line as the
// single-user mode wants them.
func (c Config) founding() []string {
	role, database := pgx.Identifier{c.Role}.Sanitize(), pgx.Identifier{c.Database}.Sanitize()
	own := fmt.Sprintf("CREATE DATABASE %s OWNER %s", database, role)
	if c.Database == "postgres" {
		own = fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", database, role)
	}
	return []string{
		"CREATE ROLE " + Replication + " LOGIN REPLICATION",
		"CREATE ROLE " + role + " LOGIN",
		own,
	}
}
