package cache

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
)

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
