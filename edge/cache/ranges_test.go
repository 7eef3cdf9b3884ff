package cache

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

// What an origin itself answers so, to a request that asks for no range, is a
// response like others.
func TestAnOriginsOwn416IsKeptWhole(t *testing.T) {
	in(t, func(r *rig) {
		r.answering(416, "why", "Cache-Control: max-age=60")
		r.want(r.do("GET /x"), 416, "why", Miss, 1)
		got := r.do("GET /x")
		r.want(got, 416, "why", Hit, 1)
		if got.Header.Get("Content-Range") != "" {
			t.Errorf("%v", got.Header)
		}
	})
}

// TestARefusedRangeIsNobodyElses: who asks for bytes that are not there has nothing
// stored for those who ask for the whole, whatever the origin or the policy says of
// errors. Control: that there is nothing at all is so for all.
func TestARefusedRangeIsNobodyElses(t *testing.T) {
	for status, asked := range map[int]int{416: 2, 400: 2, 404: 1, 410: 1} {
		in(t, func(r *rig) {
			r.policy.ErrorTTL = map[int]time.Duration{status: time.Hour}
			r.answering(status, "why", "Cache-Control: max-age=60", "Content-Range: bytes */10")
			r.want(r.do("GET /x", "Range: bytes=30-"), status, "why", Miss, 1)
			r.answering(200, "0123456789", "Cache-Control: max-age=60")
			if got := r.do("GET /x"); r.count() != asked || (got.Status == 200) != (asked == 2) {
				t.Errorf("%d: %d %q, asked %d times", status, got.Status, got.body, r.count())
			}
		})
	}
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

// TestAWholeThatCameAsAPartIsWhole has a client ask for all bytes from the first one
// on, as players of films do, and another for no range. Control: a part that lacks
// the last byte is completed.
func TestAWholeThatCameAsAPartIsWhole(t *testing.T) {
	for part, asked := range map[string]int{"0-9": 1, "0-8": 2} {
		in(t, func(r *rig) {
			r.does(func(h http.Header) (*http.Response, error) {
				if h.Get("Range") == "bytes=9-" && h.Get("If-Range") == `"1"` {
					return response(206, "9", `Etag: "1"`, "Cache-Control: max-age=60", "Content-Range: bytes 9-9/10"), nil
				}
				return response(206, "0123456789"[:part[2]-'0'+1], `Etag: "1"`, "Cache-Control: max-age=60", "Content-Range: bytes "+part+"/10"), nil
			})
			r.do("GET /x", "Range: bytes="+part)
			synctest.Wait()
			if got := r.do("GET /x"); got.Status != 200 || got.body != "0123456789" || len(got.Header["Content-Range"]) > 0 || r.count() != asked {
				t.Errorf("%s: %d %q %v, asked %d times", part, got.Status, got.body, got.Header, r.count())
			}
			if got := r.do("GET /x", "Range: bytes=4-6"); got.Status != 206 || got.body != "456" || got.Outcome != Hit {
				t.Errorf("%s: %d %q %s", part, got.Status, got.body, got.Outcome)
			}
		})
	}
}

// TestAnOriginThatDoesNotGoOnIsAskedForTheWhole: whatever it makes of the range that
// the cache asks it for, a client that asked for none is answered with the whole.
func TestAnOriginThatDoesNotGoOnIsAskedForTheWhole(t *testing.T) {
	for name, other := range map[string]*http.Response{
		"416":          response(416, "", "Content-Range: bytes */10"),
		"other bytes":  response(206, "1234", `Etag: "1"`, "Content-Range: bytes 1-4/10"),
		"fewer":        response(206, "56", `Etag: "1"`, "Content-Range: bytes 5-6/10"),
		"other whole":  response(206, "56789ab", `Etag: "1"`, "Content-Range: bytes 5-11/12"),
		"other entity": response(206, "56789", `Etag: "2"`, "Content-Range: bytes 5-9/10"),
	} {
		in(t, func(r *rig) {
			r.answering(206, "01234", `Etag: "1"`, "Cache-Control: max-age=60", "Content-Range: bytes 0-4/10")
			r.do("GET /x", "Range: bytes=0-4")
			synctest.Wait()
			r.does(func(h http.Header) (*http.Response, error) {
				if h.Get("Range") != "" {
					return other, nil
				}
				return response(200, "0123456789", `Etag: "1"`, "Cache-Control: max-age=60"), nil
			})
			if got := r.do("GET /x"); got.Status != 200 || got.body != "0123456789" || r.count() != 3 {
				t.Errorf("%s: %d %q, asked %d times", name, got.Status, got.body, r.count())
			}
			if got := r.do("GET /x"); got.Outcome != Hit || got.body != "0123456789" {
				t.Errorf("%s: then %q %s", name, got.body, got.Outcome)
			}
		})
	}
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
