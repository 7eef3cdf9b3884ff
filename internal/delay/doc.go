// Package delay makes a connection as slow as a wide-area one, in user space.
//
// A [Line] is the path between two places: its round trip and its faults,
// which may change while connections use it. A [Group] puts connections on
// lines: what it writes reaches the other end half a round trip later, and what
// the other end writes is read half a round trip later, in order, whatever the
// jitter. A cut line delivers nothing and says nothing, as a cut cable does;
// what was sent meanwhile arrives once it is mended, as TCP's retransmissions do.
//
// A [Clock] wakes the connections. The one that NewClock returns keeps within
// half a millisecond on Linux, where plain timers are up to a millisecond late;
// [Timers] is the plain one, and the one for testing/synctest.
package delay
