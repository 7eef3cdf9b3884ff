package postgres

import (
	"bytes"
	"strconv"

	"meridian"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// With synchronous_commit off PostgreSQL acknowledges a commit that it has not
// flushed yet, and the flushed position does not hold it. From the first time
// that anybody names the setting to this region's PostgreSQL until the proxy
// ends, its positions are therefore where the last record ends. That costs
// replicas up to wal_writer_delay, and reads a trip to the primary at most.

var commitSetting = []byte("synchronous_commit")

// namesCommit reports whether bytes name the setting. It looks at underscores
// alone, so that most texts cost one fast search.
func namesCommit(b []byte) bool {
	const before = len("synchronous")
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '_')
		if i < 0 {
			return false
		}
		from := at + i - before
		if from >= 0 && from+len(commitSetting) <= len(b) && bytes.EqualFold(b[from:from+len(commitSetting)], commitSetting) {
			return true
		}
		at += i + 1
	}
}

// heed notes that a message names the setting: SET does, or set_config, ALTER
// ROLE, or a function's definition.
func (p *Proxy) heed(b []byte) {
	if namesCommit(b) && !p.unflushed.Load() {
		p.unflushed.Store(true)
	}
}

// heedParams is heed for a session's start-up parameters.
func (p *Proxy) heedParams(params []wire.Param) {
	for _, x := range params {
		p.heed([]byte(x.Name))
		p.heed([]byte(x.Value))
	}
}

// unflushedSQL asks whether sessions may commit asynchronously unasked.
const unflushedSQL = `SELECT current_setting('synchronous_commit') = 'off'
 OR EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text ILIKE '%synchronous_commit%')
 OR EXISTS (SELECT FROM pg_proc WHERE proconfig IS NOT NULL AND proconfig::text ILIKE '%synchronous_commit%')`

// heedCatalogues looks for the setting where no session names it.
func (w *watch) heedCatalogues(conn *pool.Backend) error {
	if w.p.unflushed.Load() {
		return nil
	}
	rows, err := conn.Run(unflushedSQL)
	if err == nil && rows[0][0] == "t" {
		w.p.unflushed.Store(true)
	}
	return err
}

// lastRecord returns where a primary's last record ends, flushed or not.
func lastRecord(conn *pool.Backend) (meridian.LSN, error) {
	rows, err := conn.Run("SELECT pg_current_wal_insert_lsn(), pg_size_bytes(current_setting('wal_segment_size'))")
	if err != nil {
		return 0, err
	}
	at, err := meridian.ParseLSN(rows[0][0])
	if err != nil {
		return 0, err
	}
	segment, err := strconv.ParseUint(rows[0][1], 10, 64)
	return endOfRecord(at, meridian.LSN(segment)), err
}

// endOfRecord takes a page's header off an insert position: when a record ends
// with its page, the next one begins past the header of the next page, which is
// written with that record and not before. A replica would be waited for until
// then. The header of a segment's first page is longer.
func endOfRecord(at, segment meridian.LSN) meridian.LSN {
	const page, short, long = 8192, 24, 40
	switch {
	case segment > 0 && at%segment == long:
		return at - long
	case at%page == short && (segment == 0 || at%segment != short):
		return at - short
	}
	return at
}
