package cache

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "the only seed of TestRandomTrafficIsAnsweredAsAModelSays; 0 means some")
	modelSeeds = flag.Uint64("model.seeds", 40, "how many seeds it has")
)

// TestRandomTrafficIsAnsweredAsAModelSays sends random requests, of random
// behaviours, to a cache before an origin that answers at random, and wants of
// each answer what a model says which knows nothing of the cache's code: RFC 9111
// and 5861 in whole seconds, and CloudFront's table of times. It compares what was
// answered, how old, and whether the origin was asked.
func TestRandomTrafficIsAnsweredAsAModelSays(t *testing.T) {
	first, n := uint64(1), *modelSeeds
	if *modelSeed > 0 {
		first, n = *modelSeed, 1
	}
	for seed := first; seed < first+n; seed++ {
		synctest.Test(t, func(t *testing.T) { traffic(t, seed) })
	}
}

// A said is what the model's origin answers.
type said struct {
	status                    int
	cc                        string
	age, dated, expires, old  int  // seconds; of expires and old: -1 is none
	etag, vary, cookie, valid bool // valid: a 304 where that is asked for
	breaks                    bool // nothing is heard of it
	body                      string
	tag                       string
}

func traffic(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	r := newRig(t, Config{})
	r.policy = randomPolicy(rnd)
	m := &model{policy: r.policy, entries: map[string][]*entry{}, failed: map[string]int{}}
	start, answers := time.Now(), []said(nil)
	r.does(func(h http.Header) (*http.Response, error) {
		a := randomAnswer(rnd, len(m.answers)+len(answers))
		a.valid = a.valid && len(h["If-None-Match"]) > 0
		answers = append(answers, a)
		return a.response()
	})
	for step := range 120 {
		if rnd.IntN(2) == 0 {
			time.Sleep(time.Duration(pick(rnd, 1, 2, 5, 10, 30, 100)) * time.Second)
		}
		q := randomAsk(rnd)
		now := int(time.Since(start) / time.Second)
		want := m.plan(q, now)
		answers = nil
		got, err := r.try(t.Context(), q.method+" "+q.target, q.header...)
		synctest.Wait()
		want = m.settle(q, want, answers, now)
		m.answers = append(m.answers, answers...)
		have := "nothing"
		if err == nil {
			have = fmt.Sprintf("%d %q age=%s", got.Status, got.body, got.Age)
		}
		t.Logf("%3d s %s %s %v: %s, asked %d times; %+v", now, q.method, q.target, q.header, have, len(answers), answers)
		if have != want.reply || len(answers) != want.asks {
			t.Fatalf("seed %d, step %d at %d s: %s %s %v\npolicy %+v\nwant %s, asked %d times: %s\ngot  %s, asked %d times: %v, %s\nthe origin said %+v", seed, step, now, q.method, q.target, q.header,
				r.policy, want.reply, want.asks, want.why, have, len(answers), err, got.cacheStatus(), answers)
		}
	}
}

func (r reply) cacheStatus() string {
	if r.Response == nil {
		return ""
	}
	return r.CacheStatus
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func randomPolicy(rnd *rand.Rand) Policy {
	p := Default()
	if rnd.IntN(3) == 0 {
		return p
	}
	p.Heuristic = rnd.IntN(3) == 0
	p.MinTTL = time.Duration(pick(rnd, 0, 0, 0, 1, 10)) * time.Second
	p.DefaultTTL = p.MinTTL + time.Duration(pick(rnd, 0, 10, 60))*time.Second
	p.MaxTTL = p.DefaultTTL + time.Duration(pick(rnd, 20, 3600))*time.Second
	p.StaleWhileRevalidate = time.Duration(pick(rnd, 0, 0, 20)) * time.Second
	p.StaleIfError = time.Duration(pick(rnd, 0, 30)) * time.Second
	p.StaleIfUnreachable = time.Duration(pick(rnd, 0, 60)) * time.Second
	p.ErrorTTL = pick(rnd, nil, map[int]time.Duration{404: 5 * time.Second, 503: 2 * time.Second})
	p.Query = pick(rnd, Selection{Mode: All}, Selection{Mode: None}, Selection{Mode: Allow, Names: []string{"a"}}, Selection{Mode: AllExcept, Names: []string{"a"}})
	p.Cookies = pick(rnd, Selection{}, Selection{Mode: Allow, Names: []string{"s"}}, Selection{Mode: Allow, Wild: []string{"s*"}})
	return p
}

func randomAnswer(rnd *rand.Rand, n int) said {
	a := said{status: pick(rnd, 200, 200, 200, 200, 200, 404, 302, 301, 500, 503), expires: -1, old: -1, body: "v" + strconv.Itoa(n), tag: `"e` + strconv.Itoa(n) + `"`}
	var cc []string
	for _, d := range []string{"max-age=10", "max-age=60", "s-maxage=20", "public", "private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "stale-while-revalidate=15", "stale-if-error=40", "stale-if-error=0", "max-age=0"} {
		if rnd.IntN(6) == 0 {
			cc = append(cc, d)
		}
	}
	a.cc = strings.Join(cc, ", ")
	a.age, a.dated = pick(rnd, 0, 0, 0, 5), pick(rnd, 0, 0, 0, 3)
	if rnd.IntN(6) == 0 {
		a.expires = pick(rnd, 0, 25)
	}
	if rnd.IntN(4) == 0 {
		a.old = pick(rnd, 100, 1000)
	}
	a.etag, a.vary, a.cookie, a.valid, a.breaks = rnd.IntN(2) == 0, rnd.IntN(3) == 0, rnd.IntN(8) == 0, rnd.IntN(2) == 0, rnd.IntN(10) == 0
	return a
}

func (a said) response() (*http.Response, error) {
	if a.breaks {
		return nil, errors.New("nobody is there")
	}
	at := func(ago int) string {
		return time.Now().Add(-time.Duration(ago) * time.Second).UTC().Format(http.TimeFormat)
	}
	lines := []string{"Date: " + at(a.dated)}
	add := func(is bool, line string) {
		if is {
			lines = append(lines, line)
		}
	}
	if add(a.cc != "", "Cache-Control: "+a.cc); a.valid {
		return response(304, "", lines...), nil
	}
	add(a.age > 0, "Age: "+strconv.Itoa(a.age))
	add(a.expires >= 0, "Expires: "+at(a.dated-a.expires))
	add(a.old >= 0, "Last-Modified: "+at(a.dated+a.old))
	add(a.etag, "Etag: "+a.tag)
	add(a.vary, "Vary: X-V")
	add(a.cookie, "Set-Cookie: s=1")
	return response(a.status, a.body, lines...), nil
}

// An ask is what the model's client asks.
type ask struct {
	method, target, path string
	header               []string
	cc, v, cookie        string
	auth                 bool
}

func randomAsk(rnd *rand.Rand) ask {
	q := ask{method: "GET", path: pick(rnd, "/x", "/x", "/y")}
	q.target = q.path + pick(rnd, "", "", "?a=1", "?b=1", "?a=1&b=1")
	if rnd.IntN(15) == 0 {
		q.method = "POST"
		return q
	}
	q.cc = pick(rnd, "", "", "", "", "", "", "no-cache", "no-store", "max-age=5", "min-fresh=5", "max-stale=10", "max-stale", "only-if-cached", "max-age=0", "stale-if-error=20")
	q.v, q.cookie, q.auth = pick(rnd, "", "", "1", "2"), pick(rnd, "", "", "s=1", "s2=1", "t=1"), rnd.IntN(8) == 0
	for _, l := range []struct {
		is   bool
		line string
	}{{q.cc != "", "Cache-Control: " + q.cc}, {q.v != "", "X-V: " + q.v}, {q.cookie != "", "Cookie: " + q.cookie}, {q.auth, "Authorization: Bearer x"}} {
		if l.is {
			q.header = append(q.header, l.line)
		}
	}
	return q
}
