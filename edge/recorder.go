package edge

import (
	"net/http"
	"time"

	"meridian/edge/compress"
	"meridian/edge/pace"
)

// A recorder notes what a client was answered.
type recorder struct {
	http.ResponseWriter
	before func() // is called once, before the headers are sent; may be nil
	now    func() time.Time
	headed time.Time // when the headers were sent; zero if they were not
	coder  *compress.Writer
	sticky string // the cookie of a rollout, or ""
	altSvc string // Alt-Svc, or ""; an origin's own speaks of the origin (RFC 7838, section 2.1)
	status int
	shut   bool       // a tunnel was asked for by extended CONNECT, and is not open
	wait   pace.Wait  // for the client to take what is written
	body   *pace.Wait // for it to send its body; may be nil
	bytes  int64      // of the body, as they went out
}

// ready lets the headers be as they are sent.
func (w *recorder) ready() {
	if w.before != nil {
		w.before()
		w.before = nil
	}
}

func (w *recorder) WriteHeader(status int) {
	if w.shut && status/100 == 2 { // it would open the tunnel (RFC 9110, section 9.3.6)
		status = http.StatusBadGateway
	}
	if status >= 200 {
		w.status, w.headed = status, w.now()
		if w.body != nil {
			w.body.Close() // from now on both may talk as they like
		}
		if delete(w.Header(), "Alt-Svc"); w.altSvc != "" {
			w.Header()["Alt-Svc"] = []string{w.altSvc}
		}
		w.ready()
		if w.sticky != "" { // after what the origin sets, and policies remove
			w.Header().Add("Set-Cookie", w.sticky)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.coder != nil {
		return w.coder.Write(b)
	}
	return w.put(b)
}

func (w *recorder) put(b []byte) (int, error) {
	w.wait.Begin()
	n, err := w.ResponseWriter.Write(b)
	w.wait.End()
	w.bytes += int64(n)
	return n, err
}

// FlushError sends what was written so far, as http.ResponseController asks.
func (w *recorder) FlushError() error {
	if w.coder != nil {
		if err := w.coder.Flush(); err != nil {
			return err
		}
	}
	w.wait.Begin()
	defer w.wait.End()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// finish ends a body that is whole.
func (w *recorder) finish() error {
	coder := w.coder
	if w.coder = nil; coder == nil {
		return nil
	}
	return coder.Close()
}

// drop leaves a body that is not whole without its coding's end.
func (w *recorder) drop() {
	if w.coder != nil {
		w.coder.Drop()
		w.coder = nil
	}
}

// Unwrap lets http.ResponseController reach the engine's writer.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
