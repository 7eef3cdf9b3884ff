// Package compress encodes the bodies of responses for viewers that accept it
// (RFC 9110, section 8.4.1): br (RFC 7932), zstd (RFC 8878) and gzip (RFC 1952).
//
// In comes a response's head and what its viewer accepts; out comes a coding or
// none, with the reason, as a pure function of values. A body that is stored
// whole is encoded once, well, and kept for the next who accepts it; any other is
// encoded as it passes, fast, and each flush of it goes out at once. How many
// bodies are being encoded at the same time is bounded: who comes then gets the
// body as it is.
package compress
