package edge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
)

// An asker asks over one connection of HTTP/1.1, and makes nothing itself.
type asker struct {
	t  testing.TB
	c  *tls.Conn
	rd *bufio.Reader
}

// askedBefore returns who asks for what is stored.
func askedBefore(t testing.TB) asker {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		io.WriteString(w, "x")
	}}
	w := newWorld(t, []*region{g})
	at, _ := w.Addrs()
	c, err := tls.Dial("tcp", at.String(), &tls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a := asker{t, c, bufio.NewReader(c)}
	a.ask()
	return a
}

var plainly = []byte("GET / HTTP/1.1\r\nHost: " + domain + "\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n")

// ask reads one answer, of one byte.
func (a asker) ask() {
	if _, err := a.c.Write(plainly); err != nil {
		a.t.Fatal(err)
	}
	for {
		line, err := a.rd.ReadSlice('\n')
		if err != nil {
			a.t.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	if x, err := a.rd.ReadByte(); x != 'x' {
		a.t.Fatal(x, err)
	}
}

// BenchmarkHit is one client on one connection that is answered from memory.
func BenchmarkHit(b *testing.B) {
	a := askedBefore(b)
	b.ReportAllocs()
	for b.Loop() {
		a.ask()
	}
}
