package sandbox

import "time"

// watchEvery is how often a watched process's memory is read. What a process
// can take within that time, it can take over its limit.
const watchEvery = 50 * time.Millisecond

// A Memory limits the memory of processes: by control groups, version 1 or 2,
// where this process may make them; otherwise by reading the resident size of
// each process and killing those above their limit. (RLIMIT_AS is no way: it
// counts what the Go runtime reserves and never uses.)
type Memory struct {
	groups groups
}

// How says by what memory is limited, for people.
func (m *Memory) How() string { return m.groups.how() }

// Close removes what NewMemory made. All processes must have ended.
func (m *Memory) Close() { m.groups.remove() }

// limit puts a process under a limit. It does what it can: a process that has
// already ended is no error.
func (m *Memory) limit(name string, pid, mib int) guard {
	if mib <= 0 {
		return unlimited{}
	}
	if g := m.groups.add(name, pid, mib); g != nil {
		return g
	}
	return rss{pid: pid, limit: int64(mib) << 20}
}

// A groups makes control groups, if it can.
type groups interface {
	how() string
	add(name string, pid, mib int) guard // nil if it could not
	remove()
}

// A guard holds one process to its limit.
type guard interface {
	// watch returns when done is closed, or calls kill when the limit is passed.
	watch(done <-chan struct{}, kill func())
	exceeded() bool // by the kernel's account, once the process has ended
	close()
}

// noGroups is what there is without control groups.
type noGroups struct{ why string }

func (n noGroups) how() string {
	return "resident size, read every " + watchEvery.String() + " (" + n.why + ")"
}
func (noGroups) add(string, int, int) guard { return nil }
func (noGroups) remove()                    {}

type unlimited struct{}

func (unlimited) watch(<-chan struct{}, func()) {}
func (unlimited) exceeded() bool                { return false }
func (unlimited) close()                        {}

// rss watches the resident size.
type rss struct {
	pid   int
	limit int64
}

func (r rss) watch(done <-chan struct{}, kill func()) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if resident(r.pid) > r.limit {
				kill()
				return
			}
		}
	}
}

func (rss) exceeded() bool { return false }
func (rss) close()         {}
