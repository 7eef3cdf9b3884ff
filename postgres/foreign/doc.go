// Package foreign makes a PostgreSQL that somebody else runs look like a
// region's own.
//
// What comes in: a DSN. What goes out: Dial, whose connections let any role in
// without a password, as the private socket of postgres/instance does, and log
// in to the PostgreSQL behind the DSN with what that says; and Watch, which
// tells whether it is the primary, by pg_is_in_recovery().
//
// What it never does: start, stop, promote, fence or change that PostgreSQL. Who
// is primary there, that it is only one, and what a failover of theirs loses is
// for those who run it.
package foreign
