package postgres

import (
	"encoding/binary"
	"sync"

	"meridian/postgres/wire"
)

// A notification bears the process of who notifies. Where that one's session was
// told another number at its login, its clients expect that. The primary's proxy
// puts it there: it knows the number before the process runs anything of the
// session, whose own proxy learns of the process later, and may hear of the
// notification by another stream before.

// senders are the numbers by which sessions are known, by the process that each
// has, or had.
type senders struct {
	mu   sync.Mutex // guards what follows
	of   map[uint32]*sender
	gone []former // the first ended first
}

// A sender is a session: two regions may have given the same number.
type sender struct {
	region string
	number uint32
}

// A former is a session that ended.
type former struct {
	process uint32
	who     *sender
}

// remembers is how many sessions that ended are known still: what they sent may
// be on its way.
const remembers = 1024

// stands notes whose session a process is before it runs anything of it. A
// session whose number is that of the process is none of those. leaves is called
// once, when the session ends.
func (s *senders) stands(process uint32, who sender) (leaves func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if who.number == 0 || who.number == process {
		delete(s.of, process)
		return func() {}
	}
	if s.of == nil {
		s.of = map[uint32]*sender{}
	}
	here := &who
	s.of[process] = here
	return func() { s.leaves(process, here) }
}

// leaves notes that a session ended, and forgets the one that ended longest ago.
func (s *senders) leaves(process uint32, who *sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[process] != who {
		return
	}
	s.gone = append(s.gone, former{process, who})
	if len(s.gone) <= remembers {
		return
	}
	if first := s.gone[0]; s.of[first.process] == first.who {
		delete(s.of, first.process)
	}
	s.gone = s.gone[1:]
}

// names puts a session's number in a notification to a client of a region.
func (s *senders) names(region string, notification wire.Frame) {
	body := notification.Body()
	if len(body) < 4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if who := s.of[binary.BigEndian.Uint32(body)]; who != nil && who.region == region {
		binary.BigEndian.PutUint32(body, who.number)
	}
}

// sender is the session as it is known in notifications. Before its client was
// told a number, that is decided by the process with which it begins.
func (c *client) sender(process uint32) sender {
	who := sender{string(c.p.cfg.Region), c.key.PID}
	switch {
	case c.p.numberless:
		who.number = 0
	case who.number != 0:
	case process == 0 || c.p.cfg.TransactionPooling:
		who.number = c.spared
	}
	return who
}
