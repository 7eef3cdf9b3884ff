package instance

import (
	"context"
	"fmt"
	"strings"

	"meridian"
)

// otherDatabases lists where else to look: collations belong to databases.
const otherDatabases = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"

// strangeDatabases finds databases whose default order is another here than
// where they were made.
const strangeDatabases = `SELECT 'database ' || quote_ident(datname), datcollversion, coalesce(pg_database_collation_actual_version(oid), 'none')
	FROM pg_database WHERE datcollversion IS NOT NULL AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid) ORDER BY 1`

// strangeCollations finds the same of collations by which something on disk is
// ordered. The others do no harm, and every system has some.
const strangeCollations = `WITH used AS MATERIALIZED (
		SELECT unnest(indcollation) AS oid FROM pg_index UNION SELECT unnest(partcollation) FROM pg_partitioned_table),
	versioned AS MATERIALIZED (
		SELECT c.oid, collname, collversion FROM pg_collation c JOIN used ON used.oid = c.oid WHERE collversion IS NOT NULL)
	SELECT 'collation ' || quote_ident(collname) || ' of database ' || quote_ident(current_database()), collversion,
		coalesce(pg_collation_actual_version(oid), 'none')
	FROM versioned WHERE collversion IS DISTINCT FROM pg_collation_actual_version(oid) ORDER BY 1`

// sortsAlike refuses a standby whose C library or ICU sorts by other rules than
// that of the machine on which its database was made: a search in an index that
// the one wrote may miss rows on the other, and a promotion would make that
// last. The catalogue has the version of there, this machine that of here.
func (in *Instance) sortsAlike(ctx context.Context) error {
	databases, err := in.rows(ctx, "postgres", otherDatabases)
	if err != nil {
		return err
	}
	found, err := in.rows(ctx, "postgres", strangeDatabases)
	if err != nil {
		return err
	}
	for _, d := range databases {
		more, err := in.rows(ctx, string(d[0]), strangeCollations)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if len(found) == 0 {
		return nil
	}
	var each []string
	for _, f := range found {
		each = append(each, fmt.Sprintf("%s: %s there, %s here", f[0], f[1], f[2]))
	}
	return meridian.WithKind(meridian.Invalid, fmt.Errorf(
		"its collation library has another version than the primary's had (%s): text indexes would be wrong here; run the same system on both machines, "+
			"or rebuild the indexes there and ALTER ... REFRESH COLLATION VERSION", strings.Join(each, "; ")))
}

// rows runs a query as the superuser.
func (in *Instance) rows(ctx context.Context, database, sql string) ([][][]byte, error) {
	conn, err := connect(ctx, in.Dial, Superuser, database, nil)
	if err != nil {
		return nil, in.unavailable("look into "+database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, in.unavailable("look into "+database, r.Err)
	}
	return r.Rows, nil
}
