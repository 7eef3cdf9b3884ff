package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

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
			{"GET /x?a=1&utm=2", nil}, {"GET /x?a=1", []string{"Cookie: other=1"}}, {"GET /x?utm=3&&a=1", nil},
			{"GET /x?a=2", nil}, {"GET /x?a=1", []string{"X-Tenant: t"}}, {"GET /x?a=1", []string{"Cookie: ab=1"}}, {"GET /X?a=1", nil},
		} {
			got := r.do(same.line, same.header...)
			if want := max(i-1, 1); r.count() != want {
				t.Errorf("%d %s %v: asked %d times, want %d (%s)", i, same.line, same.header, r.count(), want, got.CacheStatus)
			}
		}
	})
}

// TestAQueryOfWhichNothingCountsIsNone has a campaign's links share what the page
// itself is answered with.
func TestAQueryOfWhichNothingCountsIsNone(t *testing.T) {
	for _, s := range []Selection{{Mode: None}, {Mode: Allow, Names: []string{"page"}}, {Mode: AllExcept, Names: []string{"utm"}}} {
		in(t, func(r *rig) {
			r.policy.Query = s
			r.answering(200, "x", "Cache-Control: max-age=60")
			for _, target := range []string{"/x", "/x?utm=1", "/x?", "/x?utm=1&utm=2"} {
				if got := r.do("GET " + target); r.count() != 1 {
					t.Errorf("%v, %s: asked %d times (%s)", s, target, r.count(), got.CacheStatus)
				}
			}
		})
	}
}

// TestANameOfACookieMayBeAPattern has the policy that everybody writes for
// WordPress: whoever is logged in is not shown what strangers are, in both directions.
func TestANameOfACookieMayBeAPattern(t *testing.T) {
	in(t, func(r *rig) {
		r.policy.Cookies = Selection{Mode: Allow, Names: []string{"lang"}, Wild: []string{"wordpress_logged_in_*", "v?"}}
		r.answering(200, "x", "Cache-Control: max-age=60")
		for i, c := range []struct {
			cookie string
			asked  int
		}{
			{"_ga=1", 1}, {"wordpress_test=1; v=2", 1}, {"wordpress_logged_in_5e=ann", 2}, {"_ga=2; wordpress_logged_in_5e=ann", 2}, {"wordpress_logged_in_5e=bob", 3}, {"v1=a", 4}, {"v12=a", 4}, {"lang=de", 5},
		} {
			if got := r.do("GET /", "Cookie: "+c.cookie); r.count() != c.asked {
				t.Errorf("%d %s: asked %d times, want %d (%s)", i, c.cookie, r.count(), c.asked, got.CacheStatus)
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

// TestARenewalIsJudgedAlikeWhoeverAsks has a 304 say what keeps a response from
// being stored any longer.
func TestARenewalIsJudgedAlikeWhoeverAsks(t *testing.T) {
	for _, who := range [][]string{nil, {"Authorization: Bearer x"}} {
		in(t, func(r *rig) {
			r.answering(200, "one", `Etag: "1"`, "Cache-Control: max-age=0")
			r.want(r.do("GET /x"), 200, "one", Miss, 1)
			r.answering(304, "", `Etag: "1"`, "Cache-Control: max-age=60", "Vary: *")
			r.want(r.do("GET /x", who...), 200, "one", Revalidated, 2)
			r.answering(200, "two")
			r.want(r.do("GET /x"), 200, "two", Miss, 3)
		})
	}
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
