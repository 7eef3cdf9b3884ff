package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"meridian/edge/cache"
	"meridian/edge/compress"
)

// encode chooses how a response's body goes out, and makes its headers say so.
// All of the headers are there, the status is not sent.
func (x *exchange) encode(resp *cache.Response, status int) error {
	h := x.w.Header()
	if x.behavior.Plain {
		return nil
	}
	if status == http.StatusNotModified {
		x.recognize(h)
		return nil
	}
	if status == http.StatusPartialContent && worthWhole(h) {
		vary(h) // as the whole does (RFC 9110, section 15.3.7)
	}
	if ok, _ := compress.Worth(status, h, resp.ContentLength); !ok {
		return nil
	}
	vary(h)
	if compress.Refuses(x.r.Header) {
		return nil
	}
	order := compress.Passing()
	same, whole := resp.Same()
	if whole = whole && x.compress.Keeps(resp.ContentLength); whole {
		order = compress.Kept()
	}
	coding, _ := compress.Choose(x.r.Header["Accept-Encoding"], order)
	switch {
	case coding == "":
	case x.r.Method == http.MethodHead:
		b, _ := x.compress.Have(same, coding)
		encoded(h, coding, len(b))
	case whole:
		return x.sendKept(resp, same, coding)
	default:
		x.sendPassing(coding)
	}
	return nil
}

// vary says that another coding would be another response.
func vary(h http.Header) {
	if !hasToken(h, "Vary", "Accept-Encoding") && !hasToken(h, "Vary", "*") {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
}

// worthWhole reports whether the whole of which a response is a part would be
// encoded.
func worthWhole(h http.Header) bool {
	_, total, _ := strings.Cut(h.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		size = -1 // nobody knows it
	}
	whole := maps.Clone(h)
	delete(whole, "Content-Range")
	ok, _ := compress.Worth(http.StatusOK, whole, size)
	return ok
}

// recognize gives a 304 the entity tag that the viewer knows.
func (x *exchange) recognize(h http.Header) {
	etag := h.Get("Etag")
	known := compress.Known(etag, x.r.Header["If-None-Match"])
	if known == etag {
		return
	}
	h["Etag"] = []string{known}
	if !hasToken(h, "Vary", "Accept-Encoding") {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
}

// encoded makes headers those of an encoded body of size bytes, or of unknown
// length if that is 0.
func encoded(h http.Header, c compress.Coding, size int) {
	h["Content-Encoding"] = []string{string(c)}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges") // the origin's are of other bytes
	if size > 0 {
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	if etag := h.Get("Etag"); etag != "" {
		h["Etag"] = []string{compress.Weakened(etag)}
	}
}

// sendKept lets a stored body go out as it is kept encoded.
func (x *exchange) sendKept(resp *cache.Response, same any, c compress.Coding) error {
	from, ok := resp.Body.(io.WriterTo)
	if !ok {
		return nil
	}
	// Others may wait for what this request makes.
	b, made, err := x.compress.Whole(context.WithoutCancel(x.r.Context()), same, c, from, resp.ContentLength)
	if err != nil {
		return fmt.Errorf("encode what is stored as %s: %w", c, err)
	}
	x.metrics.encode(c, map[bool]string{false: "kept", true: "made"}[made])
	encoded(x.w.Header(), c, len(b))
	resp.Body, resp.ContentLength = inMemory{bytes.NewReader(b)}, int64(len(b))
	return nil
}

// An inMemory body is one that is all there.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// sendPassing encodes a body as it passes, unless too many are being encoded.
func (x *exchange) sendPassing(c compress.Coding) {
	w := x.compress.Writer(c, wire{x.w})
	if w == nil {
		x.metrics.encode(c, "crowded")
		return
	}
	x.metrics.encode(c, "passing")
	encoded(x.w.Header(), c, 0)
	x.w.coder = w
}

// A wire is a recorder's way out, behind its coder.
type wire struct{ w *recorder }

func (o wire) Write(b []byte) (int, error) { return o.w.put(b) }
