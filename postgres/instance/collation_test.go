package instance

import (
	"strings"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/pgtest"
)

// TestAStandbyThatSortsOtherwiseIsRefused notes on the primary that another
// library sorted its data, as if it ran on another system. Its standby refuses
// to run, names both versions, and takes no reads. The control is the same
// version on a collation by which nothing is sorted: that does no harm.
func TestAStandbyThatSortsOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil).start(Primary).up()
	a.must("CREATE COLLATION german (provider = icu, locale = 'de'); CREATE TABLE t (name text COLLATE german)")
	a.admin("UPDATE pg_collation SET collversion = '42.7' WHERE collname = 'german'")
	b := newCluster(t, dir, "eu-west-1", a.Dial).start(Standby).up()
	a.must("CREATE INDEX ON t (name)")
	b.eventually("SELECT count(*) FROM pg_indexes WHERE tablename = 't'", "1")
	b.stop()

	b.refuses(t, `collation german of database conduit: 42.7 there`)
	a.must("DROP TABLE t")
	a.admin("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'conduit'")
	newCluster(t, dir, "ap-south-1", a.Dial).refuses(t, "database conduit: 1.0 there")
}

// admin runs a statement as the superuser.
func (c *cluster) admin(sql string) {
	c.t.Helper()
	if _, err := c.query(Superuser, sql); err != nil {
		c.t.Fatal(err)
	}
}

// refuses runs a standby that must end before it is ready.
func (c *cluster) refuses(t *testing.T, want string) {
	t.Helper()
	c.start(Standby)
	select {
	case <-c.ready:
		t.Fatalf("%s takes reads", c.cfg.Region)
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("%s neither runs nor ends", c.cfg.Region)
	}
	if meridian.KindOf(c.err) != meridian.Invalid || !strings.Contains(c.err.Error(), want) {
		t.Errorf("%s ended with %v, want %q", c.cfg.Region, c.err, want)
	}
}
