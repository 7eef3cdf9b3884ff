package edge

import (
	"crypto/tls"
	"sync"
)

// shareTickets makes tickets of any edge good at every edge: they are sealed and
// opened with the keys that all of them have now. It goes by the hooks of
// crypto/tls and not by SetSessionTicketKeys, since net/http copies the
// configuration and would not see the next keys.
func (e *Edge) shareTickets(c *tls.Config) {
	if e.deps.Tickets == nil {
		return
	}
	k := &ticketKeys{now: e.deps.Tickets}
	c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		return k.config().EncryptTicket(cs, ss)
	}
	c.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		return k.config().DecryptTicket(identity, cs)
	}
}

// A ticketKeys is the keys of tickets, ready for use.
type ticketKeys struct {
	now func() [][32]byte

	mu   sync.Mutex // guards what follows
	keys [][32]byte // that conf has
	conf *tls.Config
}

// config returns what seals and opens with the keys of now. Without any, crypto/tls
// makes its own.
func (k *ticketKeys) config() *tls.Config {
	keys := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conf != nil && sameKeys(k.keys, keys) {
		return k.conf
	}
	k.keys, k.conf = keys, &tls.Config{}
	if len(keys) > 0 {
		k.conf.SetSessionTicketKeys(keys)
	}
	return k.conf
}

func sameKeys(a, b [][32]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
