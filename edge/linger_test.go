package edge

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Who is refused while it sends a body has a moment to read so before its stream is
// reset. Controls: one that has no moment, and responses that are no error.
func TestWhoIsRefusedWhileItSendsMayReadIt(t *testing.T) {
	for _, tt := range []struct {
		path   string
		length string
		linger time.Duration
		status string
		reset  bool
	}{
		{"/refused", "100000", time.Minute, "401", false}, // by an origin
		{"/refused", "100000", time.Nanosecond, "401", true},
		{"/refused", "99999999999", time.Minute, "413", false}, // by the edge
		{"/taken", "100000", time.Minute, "200", true},
	} {
		g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refused" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			io.WriteString(w, "word")
		}}
		w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Linger = tt.linger })
		_, fr := w.frames()
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", domain}, {":path", tt.path}, {"content-length", tt.length}} {
			e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
		fr.WriteData(1, false, []byte("x"))
		status, text, reset, ended := "", "", false, false
		for !reset && !(ended && !tt.reset) {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatalf("%+v: %q %q: %v", tt, status, text, err)
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				status = f.PseudoValue("status")
			case *http2.DataFrame:
				if text += string(f.Data()); len(f.Data()) > 0 && !tt.reset { // it reads the error, and stops
					fr.WriteRSTStream(1, http2.ErrCodeCancel)
					ended = true
				}
			case *http2.RSTStreamFrame:
				reset = true
			}
		}
		if status != tt.status || text == "" || reset != tt.reset {
			t.Errorf("%+v: %q %q, reset %v", tt, status, text, reset)
		}
	}
}
