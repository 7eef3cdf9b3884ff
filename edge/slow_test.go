package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/edge/pace"
)

// hasty lets clients owe half a second; or for ever.
func hasty(on bool) option {
	return func(c *Config, _ *Deps, _ *world) {
		c.Limits.Pace = pace.Rule{Rate: 500, Grace: 500 * time.Millisecond}
		if !on {
			c.Limits.Pace.Rate = -1
		}
	}
}

// reads is a region that reads what it is sent, and says when a request ended.
func reads(ended chan<- struct{}) *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, n)
		select {
		case ended <- struct{}{}:
		default:
		}
	}}
}

// A stalled body begins, and then nothing comes.
type stalled struct {
	begin io.Reader
	ctx   context.Context
}

func (s stalled) Read(p []byte) (int, error) {
	if n, _ := s.begin.Read(p); n > 0 {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, io.ErrUnexpectedEOF
}

func TestBodyThatDoesNotComeIsAnswered408(t *testing.T) {
	for _, on := range []bool{true, false} {
		for name, of := range map[string]func(*world) *http.Client{"h1": func(w *world) *http.Client { return w.h1 }, "h2": func(w *world) *http.Client { return w.h2 }, "h3": (*world).h3} {
			t.Run(fmt.Sprintf("%s/watched=%v", name, on), func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{}, 1)
				w := newWorld(t, []*region{reads(ended)}, hasty(on))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if !on {
					ctx, cancel = context.WithTimeout(t.Context(), 4*time.Second)
					defer cancel()
				}
				req, _ := http.NewRequestWithContext(ctx, "POST", w.url, stalled{strings.NewReader("abc"), ctx})
				resp, err := of(w).Do(req)
				if !on {
					if err == nil {
						t.Errorf("%d, and nobody watches", resp.StatusCode)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				cancel() // net/http's client ends with its body
				resp.Body.Close()
				if resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("%d, want 408", resp.StatusCode)
				}
				if w.cuts(CutBody) != 1 || !strings.Contains(w.log.String(), "cause=body") {
					t.Errorf("counted %v times\n%s", w.cuts(CutBody), w.log)
				}
			})
		}
	}
}

// A body that nobody reads is read by the engine, so that the connection can
// be used again.
func TestRestOfABodyThatDoesNotComeEndsTheConnection(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, hasty(true))
	done := make(chan string, 1)
	go func() {
		done <- w.raw("TRACE / HTTP/1.1\r\nHost: " + domain + "\r\nContent-Length: 100\r\n\r\nabc")
	}()
	select {
	case out := <-done:
		if !strings.Contains(out, " 405 ") {
			t.Errorf("%s", out)
		}
	case <-time.After(8 * time.Second):
		t.Error("the connection stays open")
	}
}

// pours is a region whose responses do not end until their reader has gone.
func pours(gone *sync.WaitGroup) *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		gone.Add(1)
		defer gone.Done()
		if r.URL.Path == "/small" {
			io.WriteString(w, "small")
			return
		}
		some := make([]byte, 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(some); err != nil {
				return
			}
		}
	}}
}

func TestReaderThatTakesNothingOverHTTP1IsCut(t *testing.T) {
	var gone sync.WaitGroup
	w := newWorld(t, []*region{pours(&gone)}, hasty(true))
	https, _ := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.NetConn().(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(c, "GET /pour HTTP/1.1\r\nHost: %s\r\n\r\n", domain)
	w.until("cut", func() bool { return w.cuts(CutReader) == 1 && w.crowd.count() == 0 })
	gone.Wait() // the region hears of it
}

// asks sends a request on a connection of HTTP/2.
func asks(fr *http2.Framer, stream uint32, path string) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", domain}, {":path", path}} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// reset waits until the edge resets a stream.
func resetOf(fr *http2.Framer, stream uint32) error {
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok && f.Header().StreamID == stream {
			return nil
		}
	}
}

func TestStreamThatGivesNoRoomIsReset(t *testing.T) {
	for _, tt := range []struct {
		path   string
		window uint32
		on     bool
	}{{"/pour", 100, true}, {"/pour", 1 << 16, true}, {"/small", 0, true}, {"/pour", 100, false}, {"/small", 0, false}} {
		t.Run(fmt.Sprintf("%s/window=%d/watched=%v", tt.path, tt.window, tt.on), func(t *testing.T) {
			t.Parallel()
			var gone sync.WaitGroup
			w := newWorld(t, []*region{pours(&gone)}, hasty(tt.on))
			c, fr := w.frames()
			fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: tt.window})
			asks(fr, 1, tt.path)
			if !tt.on {
				c.SetDeadline(time.Now().Add(4 * time.Second))
			}
			if err := resetOf(fr, 1); (err == nil) != tt.on {
				t.Errorf("reset: %v", err)
			}
			if tt.on && tt.path == "/pour" {
				w.until("counted", func() bool { return w.cuts(CutReader) == 1 })
			}
			if !tt.on {
				return
			}
			asks(fr, 3, "/small")          // the connection goes on
			fr.WriteWindowUpdate(0, 1<<16) // net/http's connection had its own, and may have none left
			fr.WriteWindowUpdate(3, 1<<10)
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if d, ok := f.(*http2.DataFrame); ok && d.StreamID == 3 && string(d.Data()) == "small" {
					break
				}
			}
			c.Close()
			gone.Wait()
		})
	}
}

func TestReaderThatTakesNothingOverHTTP3IsCut(t *testing.T) {
	var gone sync.WaitGroup
	w := newWorld(t, []*region{pours(&gone)}, hasty(true))
	resp, err := w.h3().Get(w.url + "/pour")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.until("cut", func() bool { return w.cuts(CutReader) == 1 })
	gone.Wait()
}

func TestQuietStreamsAreNotCut(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, text := range []string{"first ", "second"} {
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
			if text == "first " {
				time.Sleep(3 * time.Second)
			}
		}
	}}
	w := newWorld(t, []*region{g}, hasty(true))
	for _, c := range []*http.Client{w.h1, w.h2, w.h3()} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// A body that goes on after the response has begun owes nothing either.
			req, _ := http.NewRequestWithContext(ctx, "POST", w.url, stalled{strings.NewReader("abc"), ctx})
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text := make([]byte, len("first second"))
			_, err = io.ReadFull(resp.Body, text)
			cancel() // net/http's client ends with its body
			if resp.Body.Close(); string(text) != "first second" || err != nil {
				t.Errorf("%s: %q, %v", resp.Proto, text, err)
			}
		})
	}
}
