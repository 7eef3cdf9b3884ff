package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/delay"
)

// breaksOff answers with the head of a body of so many bytes, and a part of it.
func breaksOff(w http.ResponseWriter, length, sent int) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	said := "" // who is sent all is told of the end, or may send the next request there
	if sent == length {
		said = "Connection: close\r\n"
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n%sContent-Length: %d\r\n\r\n%s", said, length, strings.Repeat("x", sent))
	c.Close()
}

// TestAnOriginThatBreaksOffIsToldFromOneThatAnswered: over every protocol, where
// nothing was told to the viewer yet it hears 502, and a GET goes there again; where
// something was, its connection or stream breaks. Nothing of it is stored. Control:
// an origin that does not break off, in the same test.
func TestAnOriginThatBreaksOffIsToldFromOneThatAnswered(t *testing.T) {
	var asked atomic.Int64
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var length, sent, again int
		fmt.Sscanf(r.URL.Path, "/%d/%d/%d", &length, &sent, &again)
		if again > 0 && asked.Load() > 1 {
			sent = length
		}
		breaksOff(w, length, sent)
	})
	defer s.Close()
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2": w.h2, "HTTP/3": w.h3()} {
		for _, tt := range []struct {
			method, path string
			status       int // 0: it breaks
			asked        int64
		}{
			{"HEAD", "/100000/0/0", 200, 1}, // has no body over any protocol
			{"GET", "/10/10/0", 200, 1},
			{"GET", "/10/3/0", 502, 2},
			{"GET", "/10/0/0", 502, 2},
			{"GET", "/10/3/1", 200, 2}, // the second time it is whole
			{"POST", "/10/3/0", 502, 1},
			{"GET", "/100000/3/0", 502, 2},
			{"GET", "/100000/3000/0", 0, 1},
			{"GET", "/100000/90000/0", 0, 1},
			{"POST", "/100000/90000/0", 0, 1},
		} {
			for i := range 2 {
				asked.Store(0)
				req, _ := http.NewRequest(tt.method, w.url+tt.path+"?"+name+tt.method, nil)
				status, whole := 0, false
				resp, err := c.Do(req)
				if err == nil {
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					status, whole = resp.StatusCode, err == nil
					if whole && status == 200 && tt.method == "GET" && int64(len(body)) != resp.ContentLength {
						t.Errorf("%s %s %s: %d of %d bytes look whole", name, tt.method, tt.path, len(body), resp.ContentLength)
					}
				}
				if !whole {
					status = 0
				}
				want := tt.asked
				if i == 1 && tt.status == 200 && tt.method == "GET" {
					want = 0 // it is stored
				}
				if status != tt.status || asked.Load() != want {
					t.Errorf("%s %s %s: %d, want %d; asked %d times, want %d", name, tt.method, tt.path, status, tt.status, asked.Load(), want)
				}
			}
		}
	}
}

// TestWhatCameOfABodyThatBreaksOffIsTold: of a body that breaks off once it was
// begun a viewer reads the head and all that came, however little that is, and
// then the break. HTTP/1.0 knows no break but of a length that it was told.
func TestWhatCameOfABodyThatBreaksOffIsTold(t *testing.T) {
	const came = heldBack + 100
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { breaksOff(w, 5000, came) })
	defer s.Close()
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2": w.h2} {
		got, err := w.try(c, "GET", "/"+name[5:6], "")
		if got.status != 200 || err == nil || len(got.body) != came {
			t.Errorf("%s: %d, %d of %d bytes, %v", name, got.status, len(got.body), came, err)
		}
	}
	if out := w.raw("GET /old HTTP/1.0\r\nHost: a\r\n\r\n"); !strings.Contains(out, "Content-Length: 5000") || strings.Count(out, "x") < came {
		t.Errorf("HTTP/1.0: %d bytes: %.200s", len(out), out)
	}
}

// Control: what the origin does not name passes, as what it names without close
// did not before.
func TestWhatAnOriginNamesInConnectionGoesNoFurther(t *testing.T) {
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok")
		c.Close()
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range map[string]*http.Client{"HTTP/1.1": w.h1, "HTTP/2": w.h2, "HTTP/3": w.h3()} {
		for range 2 { // from the origin, and from the cache
			resp, err := c.Get(w.url + "/x?" + name)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.Header.Get("X-End") != "1" || len(resp.Header["X-Hop"]) > 0 || len(resp.Header["Connection"]) > 0 {
				t.Errorf("%s: %v", name, resp.Header)
			}
		}
	}
	// And in place of a tunnel, too.
	out := w.raw("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if !strings.Contains(out, "X-End: 1\r\n") || strings.Contains(out, "X-Hop") {
		t.Errorf("a tunnel that is declined: %q", out)
	}
}

// silentBehindTheHead asks a region that says the head of a body of ten bytes and
// then nothing. dark has its line cut there, too.
func silentBehindTheHead(t *testing.T, method string, dark bool) (s sample, executed int) {
	synctest.Test(t, func(t *testing.T) {
		var l *lab
		gs := farRegions()
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "10")
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second) // the head is there
			if l.lines["eu-central-1"].Set(delay.Fault{Cut: dark}); dark {
				return
			}
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		}
		l = newLab(t, gs)
		defer l.end()
		s = l.one(method, "/items?n=w", time.Now())
		l.mu.Lock()
		defer l.mu.Unlock()
		executed = l.ledger["w"]
	})
	return s, executed
}

// An opening is waited for as a head is: no longer than the request's deadline, and
// in a region that falls silent no longer than that is unproven.
func TestAnOpeningIsWaitedForNoLongerThanAHead(t *testing.T) {
	for _, tt := range []struct {
		method         string
		dark           bool
		status, within int // in ms since the head
		executed       int
	}{
		{"GET", false, 504, 30000, 1},
		{"POST", false, 504, 30000, 1},
		{"GET", true, 200, 1000, 2},
		{"POST", true, 502, 1000, 1},
	} {
		s, executed := silentBehindTheHead(t, tt.method, tt.dark)
		if s.status != tt.status || s.took-time.Second > time.Duration(tt.within)*time.Millisecond || executed != tt.executed {
			t.Errorf("%s, dark %v: %d after %v, executed %d times; want %d within %d ms, %d times", tt.method, tt.dark, s.status, s.took-time.Second, executed, tt.status, tt.within, tt.executed)
		}
	}
}

// A region that breaks off each time it has said a head has failed as often, and is
// left for another.
func TestRegionThatBreaksOffBehindTheHeadIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := farRegions()
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // resets the stream
		}
		l := newLab(t, gs)
		defer l.end()
		for i := range 4 {
			if s := l.one("GET", "/items?n=w", time.Now()); s.status != 200 || s.from != "us-east-1" {
				t.Errorf("request %d: %d by %q, want another region's answer", i, s.status, s.from)
			}
		}
		if s := l.one("POST", "/items?n=v", time.Now()); s.status != 200 || s.from != "us-east-1" {
			t.Errorf("a write after three failures: %d by %q, want the next region's answer", s.status, s.from)
		}
	})
}

// An origin that says a head and then nothing is a 504 when its time is over.
func TestAnOriginThatIsSilentBehindTheHeadIsA504(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		_, o := stranger(t, h2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		o.ResponseTimeout = 50 * time.Millisecond
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
		for _, method := range []string{"GET", "POST"} {
			if got := w.do(method, "/x", ""); got.status != 504 {
				t.Errorf("%s, HTTP/2 %v: %d, want 504", method, h2, got.status)
			}
		}
	}
}
