package cache

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

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
