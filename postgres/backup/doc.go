// Package backup keeps copies of a database, and its log, in a place of their
// own: a folder, or a bucket of an S3-compatible store.
//
// What comes in: the local PostgreSQL's log (Keeper.Run, in every region) and a
// base backup of the primary's (Keeper.Take). What goes out: a database as it
// was at a moment (Restore).
//
// Below the place, everything of a database system lies under its identifier:
//
//	SYSTEM/wal/NAME.HASH.zst          a WAL file that is full, or a timeline's history
//	SYSTEM/wal/NAME.partial.zst       the WAL file that is being written, as far as it is
//	SYSTEM/base/WHEN/base.tar.zst     a base backup, as pg_basebackup wrote it
//	SYSTEM/base/WHEN/backup.json      what it is; written last, so that what has none is no backup
//
// A name bears the hash of its content, so nothing is ever replaced by
// something else; a second content under the name of a WAL file is refused, for
// two worlds would be writing to one place then.
//
// Every region sends what its own PostgreSQL has, and leaves out what is there:
// so a primary that dies before it has sent its last files leaves no gap. It
// never waits in PostgreSQL's way: when the place cannot be written to, the log
// is kept by a slot, within max_slot_wal_keep_size, and State says so.
package backup
