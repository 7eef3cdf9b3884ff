package edge

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A drain is how an edge ends. What was begun goes on for a while; HTTP/1.1 hears
// with its next response that its connection ends, HTTP/2 and HTTP/3 at once.
type drain struct {
	usual time.Duration
	other atomic.Int64 // a time.Duration; 0: the usual one
	begun atomic.Bool
	hurry chan struct{} // closed: what was begun ends now
	once  sync.Once
}

func newDrain(usual time.Duration) *drain { return &drain{usual: usual, hurry: make(chan struct{})} }

// HandOver says that another process accepts in this edge's place: once Run is
// told to end, what was begun may go on for d, WebSockets too.
func (e *Edge) HandOver(d time.Duration) { e.drain.other.Store(int64(max(d, 1))) }

// Announce says that Run is told to end soon: HTTP/1.1 hears with each response
// that its connection ends.
func (e *Edge) Announce() { e.drain.begun.Store(true) }

// Hurry ends what goes on since HandOver.
func (e *Edge) Hurry() {
	e.drain.once.Do(func() { close(e.drain.hurry) })
	e.tunnels.stop()
}

// limit returns how long what was begun may go on, and whether another process
// has this one's place.
func (d *drain) limit() (limit time.Duration, handedOver bool) {
	if other := time.Duration(d.other.Load()); other > 0 {
		return other, true
	}
	return d.usual, false
}

// within returns a context that ends with the drain.
func (d *drain) within(ctx context.Context) (context.Context, context.CancelFunc) {
	limit, _ := d.limit()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	go func() { // ends with ctx
		select {
		case <-d.hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// lingering is how long a stop waits for clients of HTTP/1.1 to ask once more, and
// hear that their connection ends. One that asks as its idle connection is closed
// cannot know whether it was heard.
const lingering = 500 * time.Millisecond

// linger returns how long idle connections of HTTP/1.1 are left open.
func (d *drain) linger() time.Duration {
	limit, handedOver := d.limit()
	if handedOver {
		return limit - min(limit/4, goodbye)
	}
	return min(limit/4, lingering)
}

// ending makes each response of HTTP/1.1 the last of its connection once the
// drain has begun.
func (d *drain) ending(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && d.begun.Load() && len(r.Header["Upgrade"]) == 0 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
