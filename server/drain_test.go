package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// A pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestAServerThatStopsLetsRequestsEndForAsLongAsTheFileSays: one that takes 10 s
// ends under a drain of 20 s, and not under the default.
func TestAServerThatStopsLetsRequestsEndForAsLongAsTheFileSays(t *testing.T) {
	for drain, whole := range map[time.Duration]bool{20 * time.Second: true, 0: false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			l := pipes{make(chan net.Conn), make(chan struct{})}
			begun, ended := make(chan struct{}), make(chan error, 1)
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(begun)
				time.Sleep(10 * time.Second)
				io.WriteString(w, "whole")
			})}
			go func() {
				ended <- serveHTTP(ctx, func() {}, srv, l, drainOf(&config.File{Limits: config.Limits{Drain: drain}}))
			}()
			client, server := net.Pipe()
			defer client.Close()
			l.conns <- server
			go io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-begun
			stopped := time.Now()
			stop()
			text, _ := io.ReadAll(client)
			if got := len(text) > 5 && string(text[len(text)-5:]) == "whole"; got != whole {
				t.Errorf("drain %v: %q", drain, text)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(stopped); !whole && (took < drainTime || took > drainTime+time.Second) {
				t.Errorf("drain %v: over after %v", drain, took)
			}
			synctest.Wait()
			time.Sleep(time.Minute) // the handler that was left
		})
	}
}

// TestNobodyLosesPatienceWithADrain: what waits for a node that stops gives it the
// time that its file gives requests.
func TestNobodyLosesPatienceWithADrain(t *testing.T) {
	for _, c := range []struct {
		drain, grace, handedOver time.Duration
		told                     string
	}{
		{0, 9 * time.Second, 39 * time.Second, "STOPPING=1"},
		{2 * time.Second, 9 * time.Second, 39 * time.Second, "STOPPING=1\nEXTEND_TIMEOUT_USEC=28000000"},
		{time.Minute, 61 * time.Second, 121 * time.Second, "STOPPING=1\nEXTEND_TIMEOUT_USEC=144000000"},
	} {
		h := &handing{n: &node{file: &config.File{Limits: config.Limits{Drain: c.drain}}}}
		grace := h.grace()
		h.gone = true
		if got := h.grace(); grace != c.grace || got != c.handedOver || stopping(c.drain) != c.told {
			t.Errorf("drain %v: %v, handed over %v, %q", c.drain, grace, got, stopping(c.drain))
		}
	}
}
