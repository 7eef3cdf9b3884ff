// Package boottime is a clock that goes on while the machine sleeps, and that
// nobody can set: what a lease must be measured with.
package boottime
