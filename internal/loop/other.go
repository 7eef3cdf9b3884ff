//go:build !linux || !(amd64 || arm64)

package loop

import (
	"errors"
	"net"
)

// A Group stands for the loops that there are none of here.
type Group struct{}

// New returns a Group, which does nothing.
func New(int) *Group { return nil }

// Close does nothing.
func (g *Group) Close() {}

// Adopt returns conn.
func (g *Group) Adopt(conn, _ net.Conn) net.Conn { return conn }

// Has reports false.
func Has(net.Conn) bool { return false }

// Do calls f.
func (g *Group) Do(_ net.Conn, f func()) { f() }

// ErrNothing is returned by nobody.
var ErrNothing = errors.New("nothing to read yet")

// Attend returns at once.
func Attend(_ net.Conn, _, _ func() bool) {}

// Slow does nothing.
func (g *Group) Slow() {}

// A Task is a goroutine.
type Task struct{ done chan struct{} }

// Go runs f as a goroutine.
func (g *Group) Go(_ net.Conn, f func()) *Task {
	t := &Task{make(chan struct{})}
	go func() { defer close(t.done); f() }() // Wait waits for it
	return t
}

// Wait waits until the task has returned.
func (t *Task) Wait() { <-t.done }
