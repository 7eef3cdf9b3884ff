package edge

import (
	"errors"
	"io"
	"net/http"

	"meridian/edge/pace"
)

// errSlow is a body that came too slowly.
var errSlow = errors.New("the client's body came too slowly")

// refuseSlow is answered to it.
var refuseSlow = answer{status: http.StatusRequestTimeout, message: "The request's body came too slowly."}

// A pacedBody is one whose client is watched while it is read.
type pacedBody struct {
	src  io.Reader
	wait *pace.Wait
}

// watched returns the body of the client's request, which owes bytes until its
// response begins: from then on the two may talk as they like.
func (x *exchange) watched(src io.Reader) io.Reader {
	l := lineOf(x.r.Context())
	if l == nil {
		return src
	}
	x.bodyWait = &pace.Wait{}
	x.bodyWait.Body(l.Conn, func() {
		x.watch.cut(remote(x.r.RemoteAddr), CutBody, "sent too little of a body")
		http.NewResponseController(x.w.ResponseWriter).SetReadDeadline(longAgo)
	})
	x.w.body = x.bodyWait
	return &pacedBody{src, x.bodyWait}
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.wait.Begin()
	n, err := b.src.Read(p)
	b.wait.End()
	if err != nil && err != io.EOF && b.wait.TooSlow() {
		err = errSlow
	}
	return n, err
}
