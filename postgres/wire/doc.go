// Package wire reads and writes PostgreSQL's frontend/backend protocol 3.0
// (PostgreSQL documentation, chapter 55), and the few frames of our own that
// two proxies exchange around it.
//
// Frames are kept raw: a Reader hands out whole messages with their headers,
// and the parsers here decode only what routing needs. What cannot be read is
// an error that wraps ErrProtocol and ends one connection, never the process.
package wire

import "errors"

// ErrProtocol is wrapped by all errors that a peer's malformed bytes cause.
var ErrProtocol = errors.New("protocol violation")
