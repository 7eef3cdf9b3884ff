package handover_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/postgres/failover"
	"meridian/test/harness"
	"meridian/test/history"
)

// A book is what writers and readers did, and were told.
type book struct {
	s      *site
	next   atomic.Int64
	harsh  atomic.Bool // a node is being killed: what was under way may fail, if its client is told
	plain  atomic.Int64
	keyed  atomic.Int64
	reads  atomic.Int64
	again  atomic.Int64 // keyed writes that were asked again
	denied atomic.Int64 // writes without a key that were told to fail
	open   atomic.Int64 // writes by key of which nobody can tell, for good
	stuck  atomic.Int64 // requests that were not answered for as long as stuckAfter
	began  int          // how long the edge's log was then
	lossy  bool         // a primary that was killed did not come back in time: with it went what no other region had

	mu      sync.Mutex // guards what follows
	entries []history.Entry
	failed  []error // answered 502, 503 or 504 with no node killed
	wrong   []error
}

func (b *book) enter(id int64, o history.Outcome, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, history.Entry{ID: id, Outcome: o, Note: note})
}

// fails notes a failure.
func (b *book) fails(what string, id int64, status int, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := fmt.Errorf("%s %d: %d %s", what, id, status, text)
	if excused(status) {
		b.failed = append(b.failed, err)
		return
	}
	b.wrong = append(b.wrong, err)
}

// starved reports whether the edge has not heard a region for 0.45 s since the
// writes began, though its connections stood: a machine with other work may bring
// that about, and a restart never does. The edge leaves such a region, and tells
// clients of what it holds (ADR 44).
func (b *book) starved() bool {
	log, _ := os.ReadFile(b.s.procs["us-east-1/edge"].log)
	return strings.Contains(string(log[min(b.began, len(log)):]), `"by":"silence"`)
}

// A browser is one client with a cookie jar.
type browser struct {
	b *book
	c *http.Client
}

func (b *book) browser(two bool) browser {
	c := b.s.client()
	c.Jar, _ = cookiejar.New(nil) // never fails without options
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = two
	return browser{b, c}
}

// stuckAfter is how long a client waits that notices something: a third of a lease.
const stuckAfter = failover.Lease / 3

// ask makes one request, and returns status 0 if it was not answered.
func (c browser) ask(ctx context.Context, method string, id int64, key string) (status int, text string) {
	defer time.AfterFunc(stuckAfter, func() { c.b.stuck.Add(1) }).Stop()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s/entries/%d", domain, id), nil)
	if err != nil {
		return 0, err.Error()
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
		req.GetBody = nil
	}
	resp, err := c.c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// excused reports whether a failure may be told while a node is killed.
func excused(status int) bool {
	return slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, status)
}

// write writes a number, and reads it back if that was answered well.
func (c browser) write(ctx context.Context) {
	id := c.b.next.Add(1)
	harsh := c.b.harsh.Load()
	status, text := c.ask(ctx, http.MethodPost, id, "")
	switch harsh = harsh || c.b.harsh.Load(); {
	case status == http.StatusCreated:
		c.b.plain.Add(1)
		c.b.enter(id, history.OK, "")
		c.read(ctx, id)
	case ctx.Err() != nil:
		c.b.enter(id, history.Unknown, text)
	case harsh && excused(status):
		c.b.denied.Add(1)
		c.b.enter(id, history.Unknown, text)
	default:
		c.b.enter(id, history.Unknown, text)
		c.b.fails("write", id, status, text)
	}
}

// askAgain is the pause of a client that was told to come again.
const askAgain = 50 * time.Millisecond

// writeByKey writes a number by a key. While a node is killed its client may have
// to ask again.
func (c browser) writeByKey(ctx context.Context) {
	id := c.b.next.Add(1)
	pace := time.NewTicker(askAgain)
	defer pace.Stop()
	for ; ; <-pace.C {
		harsh := c.b.harsh.Load()
		status, text := c.ask(ctx, http.MethodPost, id, fmt.Sprintf(`"entry-%d"`, id))
		switch harsh = harsh || c.b.harsh.Load(); {
		case status == http.StatusCreated:
			c.b.keyed.Add(1)
			c.b.enter(id, history.OK, "")
			c.read(ctx, id)
			return
		case ctx.Err() != nil:
			c.b.enter(id, history.Unknown, text)
			return
		case harsh && excused(status):
			c.b.again.Add(1)
		case harsh && status == http.StatusConflict: // its region was killed after it had begun to write: ADR 46
			c.b.open.Add(1)
			c.b.enter(id, history.Unknown, text)
			return
		default:
			c.b.enter(id, history.Unknown, text)
			c.b.fails("write by key", id, status, text)
			return
		}
	}
}

// read reads a number that its caller has written.
func (c browser) read(ctx context.Context, id int64) {
	pace := time.NewTicker(askAgain)
	defer pace.Stop()
	for ; ; <-pace.C {
		harsh := c.b.harsh.Load()
		status, text := c.ask(ctx, http.MethodGet, id, "")
		switch harsh = harsh || c.b.harsh.Load(); {
		case status == http.StatusOK && text == "1":
			c.b.reads.Add(1)
			return
		case ctx.Err() != nil:
			return
		case harsh && excused(status):
		default:
			c.b.fails("read of what was written", id, status, text)
			return
		}
	}
}

// under runs do while clients write and read. more returns once there are some
// more answers of each kind. What is on its way at the end is answered, or if
// abandon says so given up.
func (b *book) under(abandon bool, do func(more func())) {
	b.s.t.Helper()
	ctx, stop := context.WithCancel(b.s.t.Context())
	asks := ctx
	if !abandon {
		asks = context.WithoutCancel(ctx)
	}
	var all sync.WaitGroup
	for i := range 4 {
		for _, write := range []func(browser, context.Context){browser.write, browser.writeByKey} {
			c := b.browser(i%2 == 0)
			all.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					write(c, asks)
					<-tick.C
				}
			})
		}
	}
	defer all.Wait()
	defer stop()
	do(func() {
		b.s.t.Helper()
		for _, n := range []*atomic.Int64{&b.plain, &b.keyed, &b.reads} {
			want := n.Load() + 20
			harness.Eventually(b.s.t, patience, func() error {
				if now := n.Load(); now < want {
					return fmt.Errorf("%d answers, want %d; %v", now, want, b.first())
				}
				return nil
			})
		}
	})
}

func (b *book) first() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return first(append(b.failed[:len(b.failed):len(b.failed)], b.wrong...))
}

// begins waits until a write is answered.
func (b *book) begins() {
	b.s.t.Helper()
	c := b.browser(false)
	harness.Eventually(b.s.t, 2*patience, func() error {
		id := b.next.Add(1)
		status, text := c.ask(b.s.t.Context(), http.MethodPost, id, "")
		if status != http.StatusCreated {
			b.enter(id, history.Unknown, text)
			return fmt.Errorf("%d %s", status, text)
		}
		b.enter(id, history.OK, "")
		return nil
	})
	log, _ := os.ReadFile(b.s.procs["us-east-1/edge"].log)
	b.began = len(log)
}

// judge compares what clients were told with what is there.
func (b *book) judge(there []int64) {
	t := b.s.t
	t.Helper()
	l := history.Once(b.entries, there)
	t.Logf("%d writes acknowledged, %d of them by key; %d asked again by key, %d of them in vain; %d denied; %d read back; of what was not acknowledged %d are there and %d not",
		l.Acknowledged, b.keyed.Load(), b.again.Load(), b.open.Load(), b.denied.Load(), b.reads.Load(), l.Appeared, l.Vanished)
	if b.lossy {
		t.Logf("lost with the primary: %v", l.Lost)
		l.Lost = nil
	}
	if len(l.Lost)+len(l.Twice)+len(l.Strange) > 0 {
		t.Errorf("lost %v, twice %v, strange %v", l.Lost, l.Twice, l.Strange)
	}
	if starved := b.starved(); !starved || len(b.failed) == 0 {
		b.wrong = append(b.wrong, b.failed...)
	} else {
		t.Logf("this machine was too busy to tell whether a restart fails requests: of a silent region %d did: %v", len(b.failed), first(b.failed))
	}
	if err := first(b.wrong); err != nil {
		t.Errorf("%d complaints: %v", len(b.wrong), err)
	}
}
