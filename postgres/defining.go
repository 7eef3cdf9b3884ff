package postgres

import (
	"net"
	"sync"

	"meridian/postgres/wire"
)

// A defining is a probe stream on which a secondary is told of definitions,
// too.
type defining struct {
	net.Conn
	stop func()
	done chan struct{} // closed once its goroutine has returned

	mu sync.Mutex // serialises writes
}

// tellDefined returns conn with a writer that tells of definitions until Close.
func (p *Proxy) tellDefined(conn net.Conn) net.Conn {
	told := make(chan struct{}, 1)
	ended := make(chan struct{})
	d := &defining{Conn: conn, done: make(chan struct{})}
	untell := p.catalogue.tell(told)
	d.stop = func() { untell(); close(ended) }
	go func() { // Close waits for it
		defer close(d.done)
		for {
			select {
			case <-told:
				d.Write(wire.Builder(nil).Message(wire.FrameDefined))
			case <-ended:
				return
			}
		}
	}()
	return d
}

func (d *defining) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Conn.Write(b)
}

func (d *defining) Close() error {
	err := d.Conn.Close()
	d.stop()
	<-d.done
	return err
}
