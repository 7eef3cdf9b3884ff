// Package session keeps the state of one client's session apart from the
// backends that serve it, so that the session can stand on two of them, or
// move: the prepared statements, the log of settings, what pins it to the
// primary, and the transaction block's share of these.
//
// Nothing here does I/O or knows a clock. A State is what the client believes;
// a Side is what one backend knows of it; a Tracker matches a backend's
// replies with the messages that caused them, and so learns what succeeded.
// None is safe for concurrent use.
package session
