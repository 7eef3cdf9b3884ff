package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A rig is a cache and an origin that answers as the test says.
type rig struct {
	t      testing.TB
	c      *Cache
	policy Policy
	down   bool

	mu     sync.Mutex // guards what follows
	serve  func(h http.Header) (*http.Response, error)
	asked  int
	header http.Header // what the origin was last asked with
}

func newRig(t testing.TB, cfg Config) *rig {
	c, err := New(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return &rig{t: t, c: c, policy: Default()}
}

// answering makes the origin answer with a status, a body and header lines.
func (r *rig) answering(status int, body string, lines ...string) {
	r.does(func(http.Header) (*http.Response, error) { return response(status, body, lines...), nil })
}

func (r *rig) does(f func(h http.Header) (*http.Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serve = f
}

func response(status int, body string, lines ...string) *http.Response {
	h := headers(lines...)
	return &http.Response{StatusCode: status, ProtoMajor: 2, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func (r *rig) fetch(_ context.Context, h http.Header) (*http.Response, error) {
	r.mu.Lock()
	r.asked, r.header = r.asked+1, h
	f := r.serve
	r.mu.Unlock()
	return f(h)
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// A reply is what a client was answered.
type reply struct {
	*Response
	body string
}

// do asks for a target with header lines: "GET /x".
func (r *rig) do(line string, lines ...string) reply {
	r.t.Helper()
	got, err := r.try(r.t.Context(), line, lines...)
	if err != nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	return got
}

func (r *rig) try(ctx context.Context, line string, lines ...string) (reply, error) {
	method, target, _ := strings.Cut(line, " ")
	path, query, _ := strings.Cut(target, "?")
	q := Request{Method: method, Host: "a.test", Path: path, Query: query, Header: headers(lines...), Policy: r.policy}
	q.Tokens = tokensOf(q.Header["Floor"])
	q.Down = func() bool { return r.down }
	q.Credential = q.Header.Get("Authorization") != ""
	resp, err := r.c.Do(ctx, q, r.fetch)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return reply{resp, string(body)}, err
}

// want checks a reply, and how often the origin was asked in all.
func (r *rig) want(got reply, status int, body string, out Outcome, asked int) {
	r.t.Helper()
	if got.Status != status || got.body != body || got.Outcome != out || r.count() != asked {
		r.t.Errorf("%d %q %s (%s), asked %d times; want %d %q %s, %d times", got.Status, got.body, got.Outcome, got.CacheStatus, r.count(), status, body, out, asked)
	}
}

// in runs a test in a bubble, with a rig.
func in(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newRig(t, Config{})) })
}

func TestFreshIsServedAndStaleIsNot(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "one", "Cache-Control: max-age=60")
		r.want(r.do("GET /x"), 200, "one", Miss, 1)
		time.Sleep(59 * time.Second)
		got := r.do("GET /x")
		r.want(got, 200, "one", Hit, 1)
		if got.Age != "59" || got.CacheStatus != "meridian; hit; ttl=1" || got.Header.Get("Content-Length") != "3" {
			t.Errorf("%s %s %v", got.Age, got.CacheStatus, got.Header)
		}
		r.want(r.do("GET /x?q"), 200, "one", Miss, 2)
		r.want(r.do("HEAD /x"), 200, "", Hit, 2)
		time.Sleep(time.Second)
		r.answering(200, "two", "Cache-Control: max-age=60")
		r.want(r.do("GET /x"), 200, "two", Miss, 3)
	})
}

func TestKeyHasWhatThePolicySays(t *testing.T) {
	in(t, func(r *rig) {
		r.policy.Query = Selection{Mode: AllExcept, Names: []string{"utm"}}
		r.policy.Headers = Selection{Mode: Allow, Names: []string{"X-Tenant"}}
		r.policy.Cookies = Selection{Mode: Allow, Names: []string{"ab"}}
		r.answering(200, "x", "Cache-Control: max-age=60")
		for i, same := range []struct {
			line   string
			header []string
		}{
			{"GET /x?a=1&utm=2", nil}, {"GET /x?a=1", []string{"Cookie: other=1"}}, {"GET /x?utm=3&a=1", nil},
			{"GET /x?a=2", nil}, {"GET /x?a=1", []string{"X-Tenant: t"}}, {"GET /x?a=1", []string{"Cookie: ab=1"}}, {"GET /X?a=1", nil},
		} {
			got := r.do(same.line, same.header...)
			if want := max(i-1, 1); r.count() != want {
				t.Errorf("%d %s %v: asked %d times, want %d (%s)", i, same.line, same.header, r.count(), want, got.CacheStatus)
			}
		}
	})
}

func TestVariantsStandBesideEachOther(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(h http.Header) (*http.Response, error) {
			return response(200, h.Get("Foo"), "Cache-Control: max-age=60", "Vary: Foo"), nil
		})
		r.want(r.do("GET /x", "Foo: 1"), 200, "1", Miss, 1)
		got := r.do("GET /x", "Foo: 2")
		r.want(got, 200, "2", Miss, 2)
		if !strings.Contains(got.CacheStatus, "fwd=vary-miss") {
			t.Error(got.CacheStatus)
		}
		r.want(r.do("GET /x", "Foo: 1"), 200, "1", Hit, 2)
		r.want(r.do("GET /x", "Foo: 2"), 200, "2", Hit, 2)
		r.want(r.do("GET /x"), 200, "", Miss, 3)
	})
}

func TestValidationRenews(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "body", "Cache-Control: max-age=10", `Etag: "a"`, "X: 1")
		r.do("GET /x")
		time.Sleep(time.Minute)
		r.answering(304, "", "Cache-Control: max-age=20", `Etag: "a"`, "X: 2")
		got := r.do("GET /x", `If-None-Match: "old"`)
		r.want(got, 200, "body", Revalidated, 2)
		if r.header.Get("If-None-Match") != `"a"` || got.Header.Get("X") != "2" || !strings.Contains(got.CacheStatus, "fwd=stale; fwd-status=304; ttl=20; stored") {
			t.Errorf("asked with %v; %v %s", r.header, got.Header, got.CacheStatus)
		}
		time.Sleep(19 * time.Second)
		r.want(r.do("GET /x"), 200, "body", Hit, 2)
		r.want(r.do("GET /x", `If-None-Match: W/"a"`), 304, "", Hit, 2)
		time.Sleep(time.Second)
		r.answering(304, "", "Cache-Control: no-store")
		r.want(r.do("GET /x"), 200, "body", Revalidated, 3)
		r.answering(200, "new", `Etag: "b"`)
		r.want(r.do("GET /x"), 200, "new", Miss, 4)
		if r.header.Get("If-None-Match") != "" {
			t.Error("what a 304 forbade to store is still there")
		}
	})
}

func TestQualifiedDirectivesKeepFieldsFromOthers(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "x", `Cache-Control: max-age=60, no-cache="a", private="b"`, "A: 1", "B: 2", "C: 3")
		if got := r.do("GET /x"); got.Header.Get("A") != "1" || got.Header.Get("B") != "2" {
			t.Errorf("who asked lacks them: %v", got.Header)
		}
		if got := r.do("GET /x"); got.Header.Get("A") != "" || got.Header.Get("B") != "" || got.Header.Get("C") != "3" {
			t.Errorf("others have them: %v", got.Header)
		}
	})
}

func TestRangesAreCutFromTheWhole(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "0123456789", "Cache-Control: max-age=60", `Etag: "a"`)
		r.do("GET /x")
		got := r.do("GET /x", "Range: bytes=2-4")
		r.want(got, 206, "234", Hit, 1)
		if got.Header.Get("Content-Range") != "bytes 2-4/10" || got.Header.Get("Content-Length") != "3" {
			t.Errorf("%v", got.Header)
		}
		r.want(r.do("GET /x", "Range: bytes=-1"), 206, "9", Hit, 1)
		got = r.do("GET /x", "Range: bytes=20-")
		r.want(got, 416, "", Hit, 1)
		if got.Header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%v", got.Header)
		}
		r.want(r.do("GET /x", "Range: bytes=0-1", `If-Range: "b"`), 200, "0123456789", Hit, 1)
		r.want(r.do("GET /x", "Range: bytes=0-1", `If-Range: "a"`), 206, "01", Hit, 1)
		r.want(r.do("GET /x", "Range: bytes=0-1", `If-None-Match: "a"`), 304, "", Hit, 1)
		r.want(r.do("HEAD /x", "Range: bytes=0-1"), 200, "", Hit, 1)
	})
}

// partial answers as an origin that knows ranges.
func partial(body, etag string) func(h http.Header) (*http.Response, error) {
	return func(h http.Header) (*http.Response, error) {
		cc := "Cache-Control: max-age=60"
		s, ok, none := parseRange(h.Get("Range"), int64(len(body)))
		if h.Get("Range") == "" || !ok || none || !rangeHolds(h, headers("Etag: "+etag)) {
			return response(200, body, cc, "Etag: "+etag), nil
		}
		return response(206, body[s.first:s.end], cc, "Etag: "+etag, "Content-Range: "+contentRange(s, int64(len(body)))), nil
	}
}

func TestPartsAreJoinedAndCompleted(t *testing.T) {
	in(t, func(r *rig) {
		r.does(partial("0123456789", `"a"`))
		r.want(r.do("GET /x", "Range: bytes=0-3"), 206, "0123", Miss, 1)
		r.want(r.do("GET /x", "Range: bytes=1-2"), 206, "12", Hit, 1)
		r.want(r.do("GET /x", "Range: bytes=4-5"), 206, "45", Miss, 2)
		r.want(r.do("GET /x", "Range: bytes=2-5"), 206, "2345", Hit, 2)
		got := r.do("GET /x")
		r.want(got, 200, "0123456789", Miss, 3)
		if r.header.Get("Range") != "bytes=6-" || r.header.Get("If-Range") != `"a"` || got.Header.Get("Content-Range") != "" || got.Header.Get("Content-Length") != "10" {
			t.Errorf("asked with %v; %v", r.header, got.Header)
		}
		r.want(r.do("GET /x"), 200, "0123456789", Hit, 3)
		r.want(r.do("GET /x", "Range: bytes=-2"), 206, "89", Hit, 3)
	})
}

func TestPartsOfAnotherRepresentationAreNotJoined(t *testing.T) {
	in(t, func(r *rig) {
		r.does(partial("0123456789", `"a"`))
		r.do("GET /x", "Range: bytes=0-3")
		r.does(partial("abcdefghij", `"b"`))
		r.want(r.do("GET /x", "Range: bytes=4-5"), 206, "ef", Miss, 2)
		r.want(r.do("GET /x", "Range: bytes=2-5"), 206, "cdef", Miss, 3)
		r.do("GET /y", "Range: bytes=0-3")
		r.does(partial("0123456789", `"a"`))
		r.want(r.do("GET /y"), 200, "0123456789", Miss, 5)
		r.want(r.do("GET /y"), 200, "0123456789", Hit, 5)
		r.does(partial("0123456789", `W/"a"`))
		r.do("GET /z", "Range: bytes=0-3")
		r.do("GET /z", "Range: bytes=4-5")
		r.want(r.do("GET /z", "Range: bytes=2-5"), 206, "2345", Miss, 8)
	})
}

// broken is a body that ends too early.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestBodyThatBreaksOffIsNeverAHit(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(http.Header) (*http.Response, error) {
			resp := response(200, "half", "Cache-Control: max-age=60")
			resp.Body, resp.ContentLength = io.NopCloser(broken{strings.NewReader("half")}), -1
			return resp, nil
		})
		for i := range 2 {
			if got, err := r.try(r.t.Context(), "GET /x"); !errors.Is(err, io.ErrUnexpectedEOF) || got.body != "half" || r.count() != i+1 {
				t.Errorf("%q, %v, asked %d times", got.body, err, r.count())
			}
			synctest.Wait() // until what broke is forgotten
		}
	})
}

func TestStaleWhileRevalidate(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "one", "Cache-Control: max-age=10, stale-while-revalidate=60")
		r.do("GET /x")
		time.Sleep(20 * time.Second)
		r.answering(200, "two", "Cache-Control: max-age=10, stale-while-revalidate=60")
		got := r.do("GET /x")
		if got.body != "one" || got.Outcome != Stale {
			t.Errorf("%q %s", got.body, got.CacheStatus)
		}
		synctest.Wait()
		r.want(r.do("GET /x"), 200, "two", Hit, 2)
		time.Sleep(71 * time.Second)
		r.want(r.do("GET /x"), 200, "two", Miss, 3)
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Refreshes: 3})
		r.answering(200, "x", "Cache-Control: max-age=10, stale-while-revalidate=6000")
		for i := range 10 {
			r.do(fmt.Sprintf("GET /%d", i))
		}
		time.Sleep(time.Minute)
		release := make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) { <-release; return response(200, "x"), nil })
		for range 5 {
			for i := range 10 {
				if got := r.do(fmt.Sprintf("GET /%d", i)); got.Outcome != Stale {
					t.Errorf("%s", got.CacheStatus)
				}
			}
		}
		synctest.Wait()
		if n := r.count() - 10; n != 3 {
			t.Errorf("%d refreshes, want 3", n)
		}
		close(release)
	})
}

func TestStaleIfError(t *testing.T) {
	for name, f := range map[string]func(http.Header) (*http.Response, error){
		"an error": func(http.Header) (*http.Response, error) { return nil, errors.New("down") },
		"a 503":    func(http.Header) (*http.Response, error) { return response(503, "down"), nil },
		"a silence": func(http.Header) (*http.Response, error) {
			time.Sleep(30 * time.Second)
			return nil, errors.New("slow")
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(r *rig) {
				r.policy.StaleIfUnreachable = 0
				r.answering(200, "one", "Cache-Control: max-age=10, stale-if-error=600")
				r.do("GET /x")
				r.answering(200, "two", "Cache-Control: max-age=10")
				r.do("GET /y")
				time.Sleep(20 * time.Second)
				r.does(f)
				from := time.Now()
				r.want(r.do("GET /x"), 200, "one", Stale, 3)
				if took := time.Since(from); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				r.want(r.do("GET /x"), 200, "one", Stale, 3) // it is not asked again at once
				if got, err := r.try(r.t.Context(), "GET /y"); err == nil && got.Status != 503 {
					t.Errorf("what may not be served stale is: %d %q", got.Status, got.body)
				}
				time.Sleep(31 * time.Second)
				r.answering(404, "gone")
				r.want(r.do("GET /x"), 404, "gone", Miss, 5)
			})
		})
	}
}

// TestAPartThatIsLongerThanItSaysIsNotStored: it passes, and says nothing of any
// byte. One that is shorter is what has come of it.
func TestAPartThatIsLongerThanItSaysIsNotStored(t *testing.T) {
	for body, asked := range map[string]int{"01234567": 2, "01234": 1, "012": 1} {
		in(t, func(r *rig) {
			r.answering(206, body, "Cache-Control: max-age=60", "Content-Range: bytes 0-4/10", `Etag: "1"`)
			r.want(r.do("GET /x", "Range: bytes=0-4"), 206, body, Miss, 1)
			r.answering(206, "01", "Cache-Control: max-age=60", "Content-Range: bytes 0-1/10", `Etag: "1"`)
			if got := r.do("GET /x", "Range: bytes=0-1"); got.body != "01" || r.count() != asked {
				t.Errorf("after %q: %q, asked %d times, want %d", body, got.body, r.count(), asked)
			}
		})
	}
}

// TestStaleIsServedWhileNothingIsHeardOfTheOrigin: a cache that is disconnected
// serves what nothing forbids (RFC 9111, section 4.2.4), and an answer of the
// origin, whatever it tells, ends that.
func TestStaleIsServedWhileNothingIsHeardOfTheOrigin(t *testing.T) {
	broke := func(http.Header) (*http.Response, error) { return nil, errors.New("it broke off") }
	in(t, func(r *rig) {
		for path, control := range map[string]string{"/x": "max-age=10", "/strict": "max-age=10, must-revalidate", "/unsaid": "max-age=0"} {
			r.answering(200, "one", "Cache-Control: "+control, `Etag: "1"`)
			r.do("GET " + path)
		}
		time.Sleep(20 * time.Second)
		r.does(broke)
		got := r.do("GET /x")
		r.want(got, 200, "one", Stale, 4)
		if want := `meridian; hit; ttl=-10; detail=stale-if-error`; got.CacheStatus != want || got.Age != "20" {
			t.Errorf("Cache-Status %q, Age %q; want %q, 20", got.CacheStatus, got.Age, want)
		}
		r.want(r.do("GET /x"), 200, "one", Stale, 5) // it is asked each time
		for _, path := range []string{"/strict", "/unsaid"} {
			if got, err := r.try(r.t.Context(), "GET "+path); err == nil {
				t.Errorf("%s: %d %q", path, got.Status, got.body)
			}
		}
		r.answering(503, "busy")
		r.want(r.do("GET /x"), 503, "busy", Miss, 8)
		r.does(broke)
		time.Sleep(time.Hour)
		if got, err := r.try(r.t.Context(), "GET /x"); err == nil {
			t.Errorf("after an hour: %d %q", got.Status, got.body)
		}
	})
	in(t, func(r *rig) { // it is silent, and known to be down
		r.answering(200, "one", "Cache-Control: max-age=10")
		r.do("GET /x")
		time.Sleep(20 * time.Second)
		r.does(func(http.Header) (*http.Response, error) {
			time.Sleep(30 * time.Second)
			return nil, errors.New("slow")
		})
		r.down = true
		for asked, wait := range []time.Duration{2 * time.Second, 0} {
			from := time.Now()
			r.want(r.do("GET /x"), 200, "one", Stale, 2)
			if took := time.Since(from); took != wait {
				t.Errorf("answer %d took %v, want %v", asked, took, wait)
			}
		}
		time.Sleep(31 * time.Second)
		r.down = false
		from := time.Now()
		r.want(r.do("GET /x"), 200, "one", Stale, 3)
		if took := time.Since(from); took != 30*time.Second {
			t.Errorf("where the origin may only be slow it took %v", took)
		}
	})
	in(t, func(r *rig) { // control: a policy that bridges nothing
		r.policy.StaleIfUnreachable = 0
		r.answering(200, "one", "Cache-Control: max-age=10")
		r.do("GET /x")
		time.Sleep(20 * time.Second)
		r.does(broke)
		if got, err := r.try(r.t.Context(), "GET /x"); err == nil {
			t.Errorf("a policy that bridges nothing: %d %q", got.Status, got.body)
		}
	})
}

// TestPurge ends what is stored, hard and soft, by each name.
func TestPurge(t *testing.T) {
	for _, tt := range []struct {
		p    Purge
		gone string // the paths of which nothing is left
	}{
		{Purge{Path: "/a/1"}, "/a/1 /a/1?q"},
		{Purge{Host: "A.test", Path: "/a/1"}, "/a/1 /a/1?q"},
		{Purge{Host: "b.test", Path: "/a/1"}, ""},
		{Purge{Prefix: "/a/"}, "/a/1 /a/1?q /a/2"},
		{Purge{Tag: "RED"}, "/a/2 /b"},
		{Purge{Tag: "two"}, "/a/2 /b"},
		{Purge{Tag: "group one"}, "/b"},
		{Purge{Everything: true}, "/a/1 /a/1?q /a/2 /b"},
	} {
		in(t, func(r *rig) {
			all := map[string][]string{"/a/1": nil, "/a/1?q": nil, "/a/2": {"Cache-Tag: red, Blue", "Surrogate-Key: one two"}, "/b": {"Cache-Tag: red", "Surrogate-Key: two", `Cache-Groups: "group one"`}}
			for path, tags := range all {
				r.answering(200, path, append(tags, "Cache-Control: max-age=60, stale-if-error=60")...)
				r.do("GET " + path)
			}
			if n, want := r.c.Purge(tt.p), len(strings.Fields(tt.gone)); n != want {
				t.Errorf("%+v purged %d, want %d", tt.p, n, want)
			}
			for path := range all {
				before := r.count()
				r.do("GET " + path)
				if asked, want := r.count() > before, strings.Contains(" "+tt.gone+" ", " "+path+" "); asked != want {
					t.Errorf("%+v: %s asked for anew: %v, want %v", tt.p, path, asked, want)
				}
			}
		})
	}
}

func TestSoftPurgeMakesStale(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "one", "Cache-Control: max-age=600, stale-while-revalidate=60", `Etag: "a"`)
		r.do("GET /x")
		r.c.Purge(Purge{Path: "/x", Soft: true})
		r.answering(304, "", `Etag: "a"`)
		got := r.do("GET /x")
		if got.Outcome != Stale || got.body != "one" {
			t.Errorf("%s", got.CacheStatus)
		}
		synctest.Wait()
		r.want(r.do("GET /x"), 200, "one", Hit, 2)
	})
}

// What was asked for before a purge is not stored as fresh, and nobody who asks
// after it waits for that.
func TestPurgeReachesWhatIsOnItsWay(t *testing.T) {
	for _, p := range []Purge{{Path: "/x"}, {Prefix: "/"}, {Tag: "t"}, {Everything: true}, {Path: "/x", Soft: true}} {
		in(t, func(r *rig) {
			release := make(chan struct{})
			r.does(func(http.Header) (*http.Response, error) {
				<-release
				return response(200, "old", "Cache-Control: max-age=60", "Cache-Tag: t"), nil
			})
			first := make(chan reply)
			go func() { first <- r.do("GET /x") }()
			synctest.Wait()
			r.c.Purge(p)
			second := make(chan reply)
			go func() { second <- r.do("GET /x") }()
			synctest.Wait()
			if n := r.count(); n != 2 {
				t.Errorf("%+v: the origin was asked %d times: who came after the purge waits for what began before it", p, n)
			}
			close(release)
			if a, b := <-first, <-second; a.body != "old" || b.body != "old" {
				t.Errorf("%q %q", a.body, b.body)
			}
			synctest.Wait()
			r.c.Purge(Purge{Everything: true}) // what the second stored, rightly
			r.does(func(http.Header) (*http.Response, error) {
				r.c.Purge(p)
				return response(200, "old", "Cache-Control: max-age=60", "Cache-Tag: t"), nil
			})
			r.do("GET /x")
			synctest.Wait()
			r.answering(200, "new", "Cache-Control: max-age=60")
			r.want(r.do("GET /x"), 200, "new", Miss, 4)
		})
	}
}

func TestWhatWasFetchedBeforeAHorizonIsNotFresh(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "one", "Cache-Control: max-age=600")
		r.do("GET /x")
		time.Sleep(time.Second)
		q := Request{Method: "GET", Host: "a.test", Path: "/x", Header: http.Header{}, Policy: r.policy, After: time.Now()}
		r.does(func(http.Header) (*http.Response, error) { return nil, errors.New("down") })
		resp, err := r.c.Do(r.t.Context(), q, r.fetch)
		if err != nil || resp.Outcome != Stale || !strings.Contains(resp.CacheStatus, "hit") {
			t.Fatalf("%+v %v", resp, err)
		}
		time.Sleep(10 * time.Second)
		r.answering(200, "two", "Cache-Control: max-age=600")
		if resp, err = r.c.Do(r.t.Context(), q, r.fetch); err != nil || resp.Outcome != Miss {
			t.Errorf("%+v %v", resp, err)
		}
	})
}

func TestTokensRuleHits(t *testing.T) {
	for _, blind := range []bool{false, true} {
		in(t, func(r *rig) {
			r.c.blind = blind
			r.answering(200, "old", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:10")
			r.do("GET /x", "Floor: db:1:1:10")
			r.answering(200, "new", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:20")
			if got := r.do("GET /x", "Floor: db:1:1:10"); got.body != "old" || got.Tokens.String() != "db:1:1:10" {
				t.Errorf("%q %s", got.body, got.Tokens)
			}
			if got := r.do("GET /x", "Floor: db:1:1:11"); (got.body == "old") != blind {
				t.Errorf("blind %v: %q", blind, got.body)
			}
		})
	}
	in(t, func(r *rig) {
		r.policy.Eventual = true
		r.answering(200, "old", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:10")
		r.do("GET /x")
		r.want(r.do("GET /x", "Floor: db:1:1:11"), 200, "old", Hit, 1)
	})
}

// An answer is at least as new as its request asked for, and what it says of
// itself may be newer than what it shows: the log moved on while it was read.
func TestAnAnswersOwnTokenIsNoVersion(t *testing.T) {
	for floor, want := range map[string]string{"": "new", "Floor: db:1:1:10": "new", "Floor: db:1:1:15": "old"} {
		in(t, func(r *rig) {
			r.answering(200, "old", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:20")
			r.do("GET /x", floor)
			r.answering(200, "new", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:20")
			if got := r.do("GET /x", "Floor: db:1:1:15"); got.body != want {
				t.Errorf("filled with %q: %q, want %q", floor, got.body, want)
			}
		})
	}
}

// What a region says that an answer is at least as new as is what it is shared by,
// where that is newer than what was asked for; it never makes an answer newer than
// what who sees it has then seen, and is of one history. It is not passed on.
func TestAnAnswerIsSharedByWhatItIsAtLeastAsNewAs(t *testing.T) {
	for _, tt := range []struct{ since, floor, want string }{
		{"db:1:1:15", "", "old"},
		{"db:1:1:14", "", "new"},
		{"", "", "new"}, // the control
		{"db:1:1:12", "Floor: db:1:1:16", "old"},
		{"db:1:1:30", "", "new"}, // newer than what it shows: it says nothing
		{"db:1:2:15", "", "new"},
		{"other:1:1:15", "", "new"},
		{"nonsense", "", "new"},
	} {
		in(t, func(r *rig) {
			r.answering(200, "old", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:20", "Meridian-Since: "+tt.since)
			r.do("GET /x", tt.floor)
			r.answering(200, "new", "Cache-Control: max-age=600", "Meridian-Consistency: db:1:1:20")
			got := r.do("GET /x", "Floor: db:1:1:15")
			if got.body != tt.want {
				t.Errorf("since %q, filled with %q: %q, want %q", tt.since, tt.floor, got.body, tt.want)
			}
			if got.Outcome == Hit && got.Header.Get(HeaderSince) != "" {
				t.Error("what is between nodes is stored with the answer")
			}
		})
	}
}

// A caller whose token is newer than what another asked for does not wait for
// its answer, whatever that says of itself.
func TestCollapseHeedsTokens(t *testing.T) {
	for version, want := range map[string]int{"db:1:1:20": 2, "db:1:1:10": 2} {
		in(t, func(r *rig) {
			release := make(chan struct{})
			r.does(func(h http.Header) (*http.Response, error) {
				<-release
				return response(200, "x", "Cache-Control: max-age=60", "Meridian-Consistency: "+version), nil
			})
			var wg sync.WaitGroup
			wg.Go(func() { r.do("GET /x", "Floor: db:1:1:5") })
			synctest.Wait()
			wg.Go(func() { r.do("GET /x", "Floor: db:1:1:15") })
			wg.Go(func() { r.do("GET /x", "Floor: db:1:1:4") })
			synctest.Wait()
			close(release)
			wg.Wait()
			if n := r.count(); n != want {
				t.Errorf("%s: the origin was asked %d times, want %d", version, n, want)
			}
		})
	}
}

// What a region says only in its trailer of the databases that it read is no hit
// for who has seen anything of them.
func TestTokensOfTheTrailer(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(http.Header) (*http.Response, error) {
			resp := response(200, "x", "Cache-Control: max-age=60")
			resp.Trailer = http.Header{headerTokens: {"db:1:1:20"}, "X-Sum": {"1"}}
			return resp, nil
		})
		got := r.do("GET /x")
		if got.Trailer().Get("X-Sum") != "1" {
			t.Errorf("trailer %v", got.Trailer())
		}
		got = r.do("GET /x")
		r.want(got, 200, "x", Hit, 1)
		if got.Trailer().Get("X-Sum") != "1" || got.Tokens.String() != "db:1:1:20" {
			t.Errorf("trailer of a hit %v, tokens %s", got.Trailer(), got.Tokens)
		}
		r.want(r.do("GET /x", "Floor: db:1:1:1"), 200, "x", Miss, 2)
	})
}

func TestCredentialsAreNotShared(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(h http.Header) (*http.Response, error) {
			return response(200, h.Get("Authorization"), "Cache-Control: max-age=60"), nil
		})
		r.want(r.do("GET /x", "Authorization: ann"), 200, "ann", Miss, 1)
		r.want(r.do("GET /x", "Authorization: bob"), 200, "bob", Miss, 2)
		r.want(r.do("GET /x"), 200, "", Miss, 3)
	})
}

func TestLeaderThatFailsIsFollowedByOne(t *testing.T) {
	in(t, func(r *rig) {
		var n atomic.Int64
		release := make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) {
			<-release
			if n.Add(1) == 1 {
				return nil, errors.New("broke")
			}
			return response(200, "x", "Cache-Control: max-age=60"), nil
		})
		var failed, fine atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.try(r.t.Context(), "GET /x"); err != nil {
					failed.Add(1)
				} else {
					fine.Add(1)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if failed.Load() != 1 || fine.Load() != 19 || r.count() != 2 {
			t.Errorf("%d failed, %d were answered, asked %d times", failed.Load(), fine.Load(), r.count())
		}
	})
}

func TestOriginThatFailsIsNotAskedByEachInTurn(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(http.Header) (*http.Response, error) { time.Sleep(time.Second); return nil, errors.New("broke") })
		from := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.try(r.t.Context(), "GET /x") })
		}
		wg.Wait()
		if took := time.Since(from); took > 2*time.Second || r.count() > 2 {
			t.Errorf("%v, asked %d times", took, r.count())
		}
	})
}

// A body over the limit reaches all who read it, and is not stored.
func TestLargeBodyPassesAndIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Object: 100 << 10})
		body := strings.Repeat("0123456789abcdef", 256<<10) // 4 MiB
		release := make(chan struct{})
		r.does(func(http.Header) (*http.Response, error) {
			<-release
			resp := response(200, body, "Cache-Control: max-age=60")
			resp.ContentLength = -1
			return resp, nil
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if got := r.do("GET /x"); got.body != body {
					t.Errorf("%d bytes", len(got.body))
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		synctest.Wait()
		before := r.count()
		r.do("GET /x")
		synctest.Wait()
		if r.count() != before+1 || r.c.carry(0) != 0 {
			t.Errorf("it was stored, or %d bytes are still counted", r.c.carry(0))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, Config{Memory: 1 << 20})
	body := strings.Repeat("x", 10<<10)
	r.answering(200, body, "Cache-Control: max-age=60")
	for i := range 1000 {
		r.do(fmt.Sprintf("GET /%d", i))
	}
	r.c.store.objects.CleanUp()
	if n := r.c.store.objects.WeightedSize(); n > 1<<20 || n < 1<<18 {
		t.Errorf("%d bytes are stored, of at most %d", n, 1<<20)
	}
	r.c.Purge(Purge{Everything: true})
	r.c.store.objects.CleanUp()
	deadline := time.Now().Add(10 * time.Second)
	for { // deletions are told on another goroutine
		r.c.store.mu.Lock()
		n := r.c.store.index.Len()
		r.c.store.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d terms are left in the index", n)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestHeadComparesWithWhatIsStored(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "body", "Cache-Control: max-age=10", `Etag: "a"`)
		r.do("GET /x")
		time.Sleep(20 * time.Second)
		r.answering(200, "", "Cache-Control: max-age=60", `Etag: "a"`, "New: 1")
		r.do("HEAD /x")
		got := r.do("GET /x")
		r.want(got, 200, "body", Hit, 2)
		if got.Header.Get("New") != "1" {
			t.Errorf("%v", got.Header)
		}
		time.Sleep(time.Hour)
		r.answering(200, "", "Cache-Control: max-age=60", `Etag: "b"`)
		r.do("HEAD /x")
		r.answering(200, "other", "Cache-Control: max-age=60", `Etag: "b"`)
		r.want(r.do("GET /x"), 200, "other", Miss, 4)
	})
}

func TestNegativeAnswersAreStoredAsThePolicySays(t *testing.T) {
	in(t, func(r *rig) {
		r.policy.ErrorTTL = map[int]time.Duration{404: 10 * time.Second}
		r.answering(404, "none")
		r.want(r.do("GET /x"), 404, "none", Miss, 1)
		r.want(r.do("GET /x"), 404, "none", Hit, 1)
		time.Sleep(10 * time.Second)
		r.want(r.do("GET /x"), 404, "none", Miss, 2)
		r.answering(500, "broke")
		r.do("GET /y")
		r.want(r.do("GET /y"), 500, "broke", Miss, 4)
	})
}

func TestUnsafeMethodsInvalidate(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(200, "x", "Cache-Control: max-age=60", `Cache-Groups: "g"`)
		for _, p := range []string{"/x", "/x?a", "/loc", "/cl", "/other", "/group"} {
			r.do("GET " + p)
		}
		r.answering(500, "")
		r.do("PUT /x")
		r.want(r.do("GET /x"), 200, "x", Hit, 7)
		r.answering(201, "", "Location: https://a.test/loc", "Content-Location: /cl?q=1")
		r.do("PUT /x")
		r.answering(200, "y", "Cache-Control: max-age=60")
		for i, p := range []string{"/x", "/x?a", "/loc", "/cl"} {
			r.want(r.do("GET "+p), 200, "y", Miss, 9+i)
		}
		r.want(r.do("GET /other"), 200, "x", Hit, 12)
		r.answering(204, "", `Cache-Group-Invalidation: "g"`)
		r.do("DELETE /z")
		r.answering(200, "z", "Cache-Control: max-age=60")
		r.want(r.do("GET /other"), 200, "z", Miss, 14)
		r.answering(200, "", "Location: https://b.test/other")
		r.do("PUT /z")
		r.want(r.do("GET /other"), 200, "z", Hit, 15)
	})
}

func TestConditionalRequestsOfStrangersFillTheCache(t *testing.T) {
	in(t, func(r *rig) {
		r.does(func(h http.Header) (*http.Response, error) {
			if h.Get("If-None-Match") == `"a"` {
				return response(304, "", "Cache-Control: max-age=60", `Etag: "a"`), nil
			}
			return response(200, "x", "Cache-Control: max-age=60", `Etag: "a"`), nil
		})
		r.want(r.do("GET /x", `If-None-Match: "a"`), 304, "", Miss, 1)
		r.want(r.do("GET /x", `If-None-Match: "a"`), 304, "", Miss, 2)
		r.want(r.do("GET /x", `If-None-Match: "a"`), 304, "", Hit, 2)
		r.want(r.do("GET /x"), 200, "x", Hit, 2)
	})
}

func TestOnlyIfCached(t *testing.T) {
	in(t, func(r *rig) {
		r.want(r.do("GET /x", "Cache-Control: only-if-cached"), 504, "", Refused, 0)
	})
}

// TestHitAllocatesLittle keeps the cost of a hit where it is.
func TestHitAllocatesLittle(t *testing.T) {
	r := newRig(t, Config{})
	r.answering(200, strings.Repeat("x", 1024), "Cache-Control: max-age=600", "Content-Length: 1024", "Content-Type: application/json")
	r.do("GET /x")
	q := Request{Method: "GET", Host: "a.test", Path: "/x", Query: "a=b", Header: headers("Accept: */*"), Policy: r.policy}
	got := testing.AllocsPerRun(100, func() { hit(t, r, q) })
	if got > 12 {
		t.Errorf("%v allocations, want at most 12", got)
	}
}

func hit(t testing.TB, r *rig, q Request) {
	resp, err := r.c.Do(context.Background(), q, r.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.(io.WriterTo).WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// BenchmarkHit is what the cache itself adds to a hit.
func BenchmarkHit(b *testing.B) {
	r := newRig(b, Config{})
	r.answering(200, string(bytes.Repeat([]byte("x"), 1024)), "Cache-Control: max-age=600", "Content-Length: 1024", "Vary: Accept-Encoding")
	q := Request{Method: "GET", Host: "a.test", Path: "/x", Header: headers("Accept: */*"), Policy: r.policy}
	hit(b, r, q)
	b.ReportAllocs()
	for b.Loop() {
		hit(b, r, q)
	}
}

// BenchmarkPurgeByTag is a purge of ten of 100,000.
func BenchmarkPurgeByTag(b *testing.B) {
	r := newRig(b, Config{Memory: 1 << 30})
	for i := range 100_000 {
		r.answering(200, "x", "Cache-Control: max-age=600", fmt.Sprintf("Cache-Tag: t%d", i/10))
		r.do(fmt.Sprintf("GET /%d", i))
	}
	b.ResetTimer()
	for i := range b.N {
		r.c.Purge(Purge{Tag: fmt.Sprintf("t%d", i%10_000), Soft: true})
	}
}
