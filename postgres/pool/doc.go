// Package pool keeps a region's connections to its PostgreSQL: at most so many
// at once, a first-come-first-served queue with a deadline for those who wait,
// and a few warm ones for the next caller.
//
// Pooling is by session: a client has a backend to itself until it gives it
// back, and DISCARD ALL stands between two clients. While somebody waits, those
// who have one and do nothing with it are asked for it. A warm backend is reused
// only for the same role and the same start-up parameters, since RESET returns
// to those.
package pool
