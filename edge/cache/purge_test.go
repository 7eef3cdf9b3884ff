package cache

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

// A response that is stale says so in its ttl too, whyever it is (RFC 9211,
// section 2.6), and one that a policy lets live less says how long that is.
func TestTTLOfWhatIsStaleIsNegative(t *testing.T) {
	for _, tt := range []struct {
		name   string
		after  time.Duration // between the use and what ends its freshness
		change func(*rig, *Request)
		want   string
	}{
		{"fresh", 0, func(*rig, *Request) {}, "meridian; hit; ttl=590"},
		{"a policy with less time", 0, func(_ *rig, q *Request) { q.Policy.MaxTTL = time.Minute }, "meridian; hit; ttl=50"},
		{"purged now", 0, func(r *rig, _ *Request) { r.c.Purge(Purge{Path: "/x", Soft: true}) }, "meridian; hit; ttl=-1; detail=stale"},
		{"purged a while ago", 3 * time.Second, func(r *rig, _ *Request) { r.c.Purge(Purge{Path: "/x", Soft: true}) }, "meridian; hit; ttl=-3; detail=stale"},
		{"behind a horizon", 0, func(_ *rig, q *Request) { q.After, q.Down = time.Now(), func() bool { return true } }, "meridian; hit; ttl=-1; detail=unconfirmed"},
		{"its time is over", 593*time.Second + time.Second/2, func(*rig, *Request) {}, "meridian; hit; ttl=-4; detail=stale"},
	} {
		in(t, func(r *rig) {
			r.answering(200, "one", "Cache-Control: max-age=600, stale-while-revalidate=60")
			r.do("GET /x")
			time.Sleep(10 * time.Second)
			q := Request{Method: "GET", Host: "a.test", Path: "/x", Header: http.Header{}, Policy: r.policy}
			tt.change(r, &q)
			time.Sleep(tt.after)
			got, err := r.c.Do(r.t.Context(), q, r.fetch)
			if err != nil || got.CacheStatus != tt.want {
				t.Errorf("%s: %+v %v, want %s", tt.name, got, err, tt.want)
			}
			synctest.Wait()
		})
	}
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

// BenchmarkPurge measures a purge by prefix that concerns nothing, among many
// resources.
func BenchmarkPurge(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStore(1<<40, func(string, *resource) {})
			for i := range n {
				s.put(fmt.Sprintf("a.test\x00/articles/%d", i), &object{path: fmt.Sprintf("/articles/%d", i), received: time.Now()})
			}
			for b.Loop() {
				if keys := s.keys(Purge{Prefix: "/nothing/"}); len(keys) > n {
					b.Fatal(len(keys))
				}
				for _, key := range s.keys(Purge{Prefix: "/nothing/"}) {
					s.holds(key, Purge{Prefix: "/nothing/"})
				}
			}
		})
	}
}
