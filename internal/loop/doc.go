// Package loop runs blocking code over sockets without the scheduler between
// its messages: an event loop over epoll resumes whoever waits for a socket as
// a coroutine, on its own thread, and not as a goroutine that is made ready.
//
// Go's poller reads once more than there is something to read, and wakes a
// goroutine, and often a thread, for each message. A Conn reads only when epoll
// said that there is something, and a fiber, which is what the loop resumes, is
// switched to in some tens of nanoseconds.
//
// A fiber is written as a goroutine is: it calls Read and Write and may wait for
// whatever it likes. While it waits for a Conn of its loop the loop serves
// others. While it waits for something else (a lock, a channel, a sleep) the
// loop's goroutine waits with it; a watchdog notices, and another goroutine takes
// the loop over. Slow and Task.Wait say so at once.
//
// What Attend's send writes goes out with what others send, in one system call, where
// the kernel has io_uring and lets it be used.
//
// Any goroutine may use a Conn: one that is no fiber of its loop waits as for any
// net.Conn. On other systems than Linux, and other processors than amd64 and
// arm64, Adopt returns what it is given, and fibers are goroutines.
package loop
