package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRandomPartsAreOfOneVersion asks for parts, under conditions and by HEAD, of
// what changes at random. Whatever was stored, each answer is of one version, which
// was there not longer ago than it is fresh; its bytes are those that it says they
// are, and none is told that it has what it has not.
func TestRandomPartsAreOfOneVersion(t *testing.T) {
	for seed := range *modelSeeds {
		synctest.Test(t, func(t *testing.T) { parts(t, rand.New(rand.NewPCG(seed+*modelSeed, 11))) })
	}
}

// A versioned is an origin whose resource changes.
type versioned struct {
	version int
	since   []time.Time // when each version came
	plain   bool        // it knows no ranges
	endless bool        // it says no length
}

func (v *versioned) text() string { return textOf(v.version) }

func textOf(version int) string { return fmt.Sprintf("%c123456789%c", 'a'+version%26, 'a'+version%26) }

func (v *versioned) change() {
	v.version++
	v.since = append(v.since, time.Now())
}

func (v *versioned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", fmt.Sprintf(`"%d"`, v.version))
	w.Header().Set("Cache-Control", "max-age=10")
	w.Header().Set("Content-Type", "text/plain")
	if v.plain || r.Method == http.MethodHead {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(v.text()))
}

func (v *versioned) answer(method string, h http.Header) (*http.Response, error) {
	r := httptest.NewRequest(method, "/x", nil)
	r.Header = h.Clone()
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	resp := w.Result()
	resp.ProtoMajor = 2
	if resp.ContentLength, _ = strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64); v.endless && resp.StatusCode == 200 && method != "HEAD" {
		resp.ContentLength = -1
		delete(resp.Header, "Content-Length")
	}
	return resp, nil
}

func parts(t *testing.T, rnd *rand.Rand) {
	r, o := newRig(t, Config{}), &versioned{since: []time.Time{time.Now()}}
	method := ""
	r.does(func(h http.Header) (*http.Response, error) { return o.answer(method, h) })
	for step := range 100 {
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(1+rnd.IntN(8)) * time.Second)
		}
		if rnd.IntN(6) == 0 {
			o.change()
		}
		o.plain, o.endless = rnd.IntN(8) == 0, rnd.IntN(4) == 0
		var lines []string
		add := func(one int, line string, args ...any) {
			if rnd.IntN(one) == 0 {
				lines = append(lines, fmt.Sprintf(line, args...))
			}
		}
		near := max(0, o.version-rnd.IntN(3))
		add(2, "Range: bytes=%s", pick(rnd, "0-2", "3-5", "6-", "-4", "0-", "2-20", "30-40", "0-1,4-5", "0-3,2-6", "0-0,-1"))
		add(4, `If-Range: "%d"`, near)
		add(5, `If-None-Match: "%d"`, near)
		add(12, "Cache-Control: %s", pick(rnd, "no-cache", "no-store", "only-if-cached"))
		method = pick(rnd, "GET", "GET", "GET", "GET", "HEAD")
		got := r.do(method+" /x", lines...)
		synctest.Wait()
		if why := o.wrong(method, headers(lines...), got); why != "" {
			t.Fatalf("step %d: %s %v, of version %d: %s\n%d %v %q, %s", step, method, lines, o.version, why, got.Status, got.Header, got.body, got.CacheStatus)
		}
	}
}

// wrong returns what is wrong with an answer, or "".
func (v *versioned) wrong(method string, asked http.Header, got reply) string {
	if got.Status == 504 && asked.Get("Cache-Control") == "only-if-cached" {
		return ""
	}
	if got.Status == 416 {
		if asked.Get("Range") != "bytes=30-40" || method == "HEAD" || got.Header.Get("Content-Range") != "bytes */11" {
			return "there is something of that range"
		}
		return ""
	}
	version, err := strconv.Atoi(strings.Trim(got.Header.Get("Etag"), `"`))
	switch {
	case err != nil || version > v.version:
		return "it is of no version"
	case version < v.version && time.Since(v.since[version+1]) >= 10*time.Second:
		return "it was gone before it could be fresh"
	case version < v.version && asked.Get("Cache-Control") == "no-cache":
		return "it is not the newest"
	}
	condition, text := asked.Get("If-None-Match"), textOf(version)
	switch got.Status {
	case 304:
		if condition != got.Header.Get("Etag") || got.body != "" {
			return "its client has another"
		}
	case 200:
		if length := got.Header.Get("Content-Length"); method == "HEAD" && got.body == "" && (length == "" || length == "11") {
			return ""
		}
		if got.body != text || condition == got.Header.Get("Etag") && asked.Get("Cache-Control") != "no-store" {
			return "it is not the whole, or its client has it"
		}
	case 206:
		return part(asked, got, text)
	default:
		return "a status of no answer"
	}
	return ""
}

// part returns what is wrong with a 206, or "".
func part(asked http.Header, got reply, text string) string {
	if since := asked.Get("If-Range"); asked.Get("Range") == "" || since != "" && since != got.Header.Get("Etag") {
		return "nobody asked for a part of it"
	}
	kind, params, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if kind != "multipart/byteranges" {
		return piece(got.Header.Get("Content-Range"), got.body, text, asked.Get("Range"))
	}
	for m := multipart.NewReader(strings.NewReader(got.body), params["boundary"]); ; {
		p, err := m.NextPart()
		if err != nil {
			return ""
		}
		var b bytes.Buffer
		b.ReadFrom(p)
		if why := piece(p.Header.Get("Content-Range"), b.String(), text, asked.Get("Range")); why != "" {
			return why
		}
	}
}

func piece(contentRange, body, text, asked string) string {
	var first, last, size int
	if n, _ := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); n != 3 || size != len(text) || last >= size {
		return "a part of what is not there"
	}
	if body != text[first:last+1] {
		return "not the bytes that it says"
	}
	want := map[string]string{"0-2": "0-2", "3-5": "3-5", "6-": "6-10", "-4": "7-10", "0-": "0-10", "2-20": "2-10"}[strings.TrimPrefix(asked, "bytes=")]
	if have := fmt.Sprintf("%d-%d", first, last); want != "" && have != want {
		return "not the part that was asked for"
	}
	return ""
}
