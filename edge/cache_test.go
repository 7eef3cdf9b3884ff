package edge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/identity"
)

// versioned returns a region whose answers may be stored, and are as new as the
// last write: the count of POSTs.
func versioned() *region {
	var writes atomic.Int64
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		n := writes.Load()
		if r.Method == "POST" {
			n = writes.Add(1)
		}
		w.Header().Set(identity.HeaderConsistency, fmt.Sprintf("db:1:1:%x", 0x10+n))
		w.Header().Set("Cache-Control", "public, max-age=3600")
		fmt.Fprintf(w, "%d writes", n)
	}}
}

// TestCachedAnswerIsNotShownToWhoHasSeenMore is guarantee 1 at the cache: ann
// writes at another path, so that nothing is invalidated, and reads. The control
// is an edge that ignores tokens: there she is shown what was stored before.
func TestCachedAnswerIsNotShownToWhoHasSeenMore(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		w := newWorld(t, []*region{versioned()}, func(c *Config, _ *Deps, _ *world) { c.IgnoreConsistency = ignore })
		if got := w.do("GET", "/list", ""); got.body != "0 writes" {
			t.Fatalf("before: %q", got.body)
		}
		w.do("GET", "/list", "") // has now seen what the first read told
		if got := w.do("GET", "/list", ""); !strings.HasSuffix(got.header.Get("Cache-Status"), "; hit; ttl=3600") && !strings.Contains(got.header.Get("Cache-Status"), "; hit; ttl=3599") {
			t.Fatalf("the second read is no hit: %v", got.header)
		}
		token := w.do("POST", "/write", "").header.Get("Meridian-Consistency")
		got := w.do("GET", "/list", "", "Meridian-Consistency", token)
		if stale := got.body == "0 writes"; stale != ignore {
			t.Errorf("tokens ignored %v: a reader that has seen %q is shown %q (%s)", ignore, token, got.body, got.header.Get("Cache-Status"))
		}
	}
}

// A hit tells its caller what it has now seen, and only then.
func TestHitTellsWhatItsCallerHasSeen(t *testing.T) {
	w := newWorld(t, []*region{versioned()})
	w.do("GET", "/list", "", "Meridian-Consistency", "db:1:1:10")
	for _, tt := range []struct{ has, told string }{{"db:1:1:2", "db:1:1:10"}, {"db:1:1:10", ""}, {"other:1:1:5", "other:1:1:5,db:1:1:10"}} {
		got := w.do("GET", "/list", "", "Meridian-Consistency", tt.has)
		if told := got.header.Get("Meridian-Consistency"); told != tt.told || (got.header.Get("Set-Cookie") != "") != (tt.told != "") || got.header.Get("Age") == "" {
			t.Errorf("%s: told %q, want %q; %v", tt.has, told, tt.told, got.header)
		}
	}
}

// An answer of another timeline or system than the caller's token is none for it.
func TestCachedAnswerOfAnotherTimelineIsNotShown(t *testing.T) {
	var asked atomic.Int64
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set(identity.HeaderConsistency, "db:1:2:10")
		w.Header().Set("Cache-Control", "max-age=3600")
	}}
	w := newWorld(t, []*region{g})
	w.do("GET", "/", "", "Meridian-Consistency", "db:1:2:9")
	for _, c := range []struct {
		token string
		want  int64
	}{{"db:1:2:9", 0}, {"db:1:1:9", 1}, {"db:1:3:1", 1}, {"db:2:2:1", 1}} { // each that is fetched is stored as new as it asked for
		before := asked.Load()
		w.do("GET", "/", "", "Meridian-Consistency", c.token)
		if got := asked.Load() - before; got != c.want {
			t.Errorf("%s: the region was asked %d times, want %d", c.token, got, c.want)
		}
	}
}

// patient lets a region be silent for long, as it is where a machine has too much
// to do: a connection that is given up is a request more.
func patient(c *Config, _ *Deps, _ *world) { c.Upstream.PingTimeout = time.Minute }

func TestManyMissesAreOneRequest(t *testing.T) {
	const clients = 100
	var asked atomic.Int64
	began, release := make(chan struct{}), make(chan struct{})
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "first ")
		http.NewResponseController(w).Flush()
		close(began)
		<-release
		io.WriteString(w, "second")
	}}
	w := newWorld(t, []*region{g}, patient)
	var wg sync.WaitGroup
	var first atomic.Int64
	for range clients {
		wg.Go(func() {
			resp, err := w.h2.Get(w.url + "/x")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			head := make([]byte, 6)
			if _, err := io.ReadFull(resp.Body, head); err == nil && string(head) == "first " {
				first.Add(1)
			}
			if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "second" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
	<-began
	w.until("all have the beginning", func() bool { return first.Load() == clients })
	close(release)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the region was asked %d times", n)
	}
}

// Whose answer may not be shared, others do not wait for it one after another.
func TestAnswersForOneAloneAreFetchedSideBySide(t *testing.T) {
	const clients = 20
	var flying, most atomic.Int64
	release := make(chan struct{})
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if n := flying.Add(1); n > most.Load() {
			most.Store(n)
		}
		w.Header().Set("Cache-Control", "private")
		if r.Header.Get("X-Lead") != "" {
			return
		}
		<-release
		io.WriteString(w, r.Header.Get("X-Who"))
	}}
	w := newWorld(t, []*region{g})
	w.do("GET", "/me", "", "X-Lead", "1")
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			who := fmt.Sprint(i)
			if got, err := w.try(w.h2, "GET", "/me", "", "X-Who", who); err != nil || got.body != who {
				t.Errorf("%s was answered %q, %v", who, got.body, err)
			}
		})
	}
	w.until("all are at the region", func() bool { return flying.Load() == clients+1 })
	close(release)
	wg.Wait()
}

func TestLeaderThatGoesAwayBreaksNobody(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "whole")
	}}
	w := newWorld(t, []*region{g})
	lead, err := http.NewRequest("GET", w.url+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan struct{})
	go func() { defer close(led); w.h2.Do(lead.WithContext(ctx)) }()
	<-began
	follower := make(chan got, 1)
	go func() { follower <- w.do("GET", "/x", "") }()
	w.until("two wait", func() bool { return w.cache.Waiting() == 2 })
	cancel()
	<-led
	w.until("one waits", func() bool { return w.cache.Waiting() == 1 })
	close(release)
	if got := <-follower; got.status != 200 || got.body != "whole" || !strings.Contains(got.header.Get("Cache-Status"), "collapsed") {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
}

// When all regions are gone, what may be served stale is served at once; the
// control is a response that may not.
func TestStaleIsServedWhileNoRegionAnswers(t *testing.T) {
	var now atomic.Int64
	start := time.Now()
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", r.URL.Query().Get("cc"))
		io.WriteString(w, "stored")
	}}
	w := newWorld(t, []*region{g}, func(_ *Config, d *Deps, _ *world) {
		d.Now = func() time.Time { return start.Add(time.Since(start) + time.Duration(now.Load())) }
	})
	may, unsaid, mayNot := "/?cc=max-age=10,stale-if-error=600", "/?cc=max-age=10", "/?cc=max-age=10,must-revalidate"
	for _, target := range []string{may, unsaid, mayNot} {
		w.do("GET", target, "")
	}
	now.Store(int64(time.Minute))
	g.kill()
	w.lost(g)
	for range 20 { // the first of them meet a region that may yet come back
		w.do("GET", may, "")
	}
	from := time.Now()
	if got := w.do("GET", may, ""); got.status != 200 || got.body != "stored" || !strings.Contains(got.header.Get("Cache-Status"), "hit; ttl=-5") {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	if took := time.Since(from); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if got := w.do("GET", unsaid, ""); got.status != 200 || got.body != "stored" {
		t.Errorf("what nothing forbids to be stale: %d %q", got.status, got.body)
	}
	if got := w.do("GET", mayNot, ""); got.status != 503 {
		t.Errorf("what may not be stale: %d %q", got.status, got.body)
	}
}

// What a region refused, and what an unsafe request changed, is not served.
func TestUnsafeRequestInvalidates(t *testing.T) {
	var heard []cache.Purge
	w := newWorld(t, []*region{versioned()}, func(_ *Config, d *Deps, _ *world) {
		d.Invalidated = func(p cache.Purge) { heard = append(heard, p) }
	})
	w.do("GET", "/list?a=1", "")
	w.do("POST", "/list", "")
	if got := w.do("GET", "/list?a=1", "", "X-Other", "client"); got.body != "1 writes" {
		t.Errorf("%q", got.body)
	}
	if len(heard) != 1 || heard[0].Path != "/list" || heard[0].Host != domain {
		t.Errorf("heard %+v", heard)
	}
}

// A 1xx response passes to who asks, and the final one is stored.
func TestEarlyHintsPassAndTheRestIsStored(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "x")
	}}
	w := newWorld(t, []*region{g})
	for name, c := range map[string]*http.Client{"/h1": w.h1, "/h2": w.h2} {
		for i, want := range []string{"103", ""} {
			early := ""
			trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				early += fmt.Sprint(status)
				return nil
			}}
			req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", w.url+name, nil)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if hit := strings.Contains(resp.Header.Get("Cache-Status"), "; hit"); early != want || hit != (i == 1) {
				t.Errorf("%s, request %d: 1xx %q, %s", name, i+1, early, resp.Header.Get("Cache-Status"))
			}
		}
	}
}

// Trailers pass, to who asked and to whom a stored answer is shown.
func TestTrailersAreStored(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Trailer", "X-Sum, Meridian-Consistency")
		io.WriteString(w, "x")
		http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "7")
		w.Header().Set("Meridian-Consistency", "db:1:1:10")
	}}
	w := newWorld(t, []*region{g})
	for name, c := range map[string]*http.Client{"/h1": w.h1, "/h2": w.h2} {
		for i := range 2 {
			got, err := w.try(c, "GET", name, "")
			if err != nil || got.body != "x" || got.trailer.Get("X-Sum") != "7" || got.trailer.Get("Meridian-Consistency") != "" {
				t.Errorf("%s, request %d: %v, %q, trailer %v", name, i+1, err, got.body, got.trailer)
			}
		}
	}
}
