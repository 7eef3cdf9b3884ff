package edge

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"meridian/internal/framing"
)

// begin forgets what was noted.
func (e *everybody) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken, e.beside = nil, nil
	clear(e.asked)
}

// overOne has the edge read a text as HTTP/1.1.
func (e *everybody) overOne(text string, guarded bool) {
	e.begin()
	s := newScript(text)
	var c net.Conn = s
	if guarded {
		c = framing.NewH1(s, framing.Config{Header: e.cfg.Limits.Header})
	}
	e.toOne.ready <- looked{c, s}
	<-s.done
}

// agree demands that all who stand behind the edge read what it read.
func (e *everybody) agree(t *testing.T) []taken {
	t.Helper()
	(&world{t: t, log: e.log}).until("what was asked is noted", func() bool { // the edge's handler may end after its connection
		e.mu.Lock()
		defer e.mu.Unlock()
		for id := range e.asked {
			if !slices.ContainsFunc(e.taken, func(x taken) bool { return x.id == id }) {
				return false
			}
		}
		return true
	})
	all := e.noted()
	e.mu.Lock()
	defer e.mu.Unlock()
	var beside []asRead
	for _, x := range all {
		want := x.asRead
		if want.host == "" {
			want.host = domain // HTTP/1.0 need not say it
		}
		if want.target = originForm(x.target); !x.ran {
			if len(e.asked[x.id]) > 0 && e.asked[x.id][0].event != (asRead{}) {
				t.Errorf("%v ran, and its answer did not come through", x)
			}
			continue
		}
		if !x.whole {
			t.Errorf("ran without the end of its body: %v", x)
		}
		if len(e.asked[x.id]) == 0 {
			want.host = "beside"
			beside = append(beside, want)
			continue
		}
		if got := e.asked[x.id]; len(got) != 1 || got[0].gateway != want || got[0].event != forEvent(want) {
			t.Errorf("the edge took %q\nthe gateway %q\nthe event %q", want, got[0].gateway, got[0].event)
		}
	}
	if !slices.Equal(beside, e.beside) {
		t.Errorf("the edge took %q\nthe origin beside it %q", beside, e.beside)
	}
	return all
}

func (e *everybody) noted() []taken {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.taken)
}

// originForm cuts off a scheme and an authority (RFC 9112, section 3.2.2).
func originForm(target string) string {
	if _, after, ok := strings.Cut(target, "://"); ok && target[0] != '/' {
		if target = after[cutAt(after, "/?"):]; target == "" || target[0] == '?' {
			target = "/" + target
		}
	}
	return target
}

// forEvent is a request as events have it: they do not tell a query that is
// empty from none, and JSON has no bytes that are not UTF-8.
func forEvent(r asRead) asRead {
	r.target = string([]rune(strings.TrimSuffix(r.target, "?")))
	r.host = string([]rune(r.host))
	return r
}

// misread returns what a lenient reader makes of the requests that the edge took,
// if one reads them in another way; else "".
func misread(text string, all []taken) string {
	for _, l := range lenients {
		got := slices.DeleteFunc(l.read(text), func(r asRead) bool { return r.method == http.MethodOptions && r.target == "*" }) // net/http answers it itself
		for i, x := range all {
			if !x.whole && i == len(all)-1 { // it may have been refused in its middle
				break
			}
			if i >= len(got) || got[i].method != x.method || got[i].target != x.target || got[i].host != x.host || x.whole && got[i].body != x.body {
				return fmt.Sprintf("%q: the edge took %v, a reader (%s) %q", text, all[:i+1], l.name, got)
			}
		}
	}
	return ""
}

// seeds adds what the scripts of internal/framing/testdata/smuggling send.
func seeds(f *testing.F, add func(string)) {
	files, err := filepath.Glob("../internal/framing/testdata/smuggling/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		text := ""
		for line := range strings.Lines(string(raw) + "\n") {
			s, err := strconv.Unquote(strings.TrimSpace(line))
			if err == nil && strings.HasPrefix(line, `"`) {
				text += s
			} else if text != "" {
				add(text)
				text = ""
			}
		}
	}
}

// FuzzOneReading: what the edge takes of the bytes of a connection is read alike
// by net/http, the gateway, the event, an origin of HTTP/1.1 and every lenient
// reader: as many requests, each with the same method, target, host and body.
func FuzzOneReading(f *testing.F) {
	seeds(f, func(s string) {
		f.Add(s)
		f.Add(strings.ReplaceAll(s, " /", " /o/"))
	})
	f.Add("POST /a HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST /o/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET /o/?a?b HTTP/1.1\r\nHost: b\r\n\r\n")
	e := newEverybody(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8<<10 {
			return
		}
		e.overOne(text, true)
		if why := misread(text, e.agree(t)); why != "" {
			t.Error(why)
		}
	})
}

// TestWithoutTheGuardReadersDiffer is the control: what net/http alone takes
// others read in another way, and the comparison says so.
func TestWithoutTheGuardReadersDiffer(t *testing.T) {
	const get = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	e := newEverybody(t)
	for _, head := range []string{
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"X: y\n Content-Length: 0\nContent-Length: 35\n\n",
	} {
		text := "POST /a HTTP/1.1\r\nHost: a\r\n" + head + get
		for _, guarded := range []bool{true, false} {
			e.overOne(text, guarded)
			if why := misread(text, e.noted()); (why != "") == guarded {
				t.Errorf("guarded %v: %q: %q", guarded, text, why)
			}
		}
	}
}
