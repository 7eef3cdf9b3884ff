package edge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// heldBack is how many bytes of a body net/http's servers hold back before they say
// the head, if nobody flushes: what an origin sends until then may still be told
// from nothing, at no cost in time.
const heldBack = 2 << 10

// opening reads how a body begins, where its length is known. If the origin breaks off
// before that is whole, or is silent for too long, it did not answer: nothing was told
// to the client, and the request may go elsewhere, as far as Retry lets it.
func (x *exchange) opening(resp *http.Response) error {
	live := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	bare := x.r.Method == http.MethodHead || resp.StatusCode == http.StatusNotModified || resp.StatusCode == http.StatusNoContent
	if resp.ContentLength <= 0 || bare || live || notServing(resp) {
		return nil
	}
	begins := make([]byte, min(resp.ContentLength, heldBack))
	n, err := io.ReadFull(resp.Body, begins)
	if err != nil {
		return fmt.Errorf("it broke off after %d of %d bytes: %w", n, resp.ContentLength, err)
	}
	resp.Body = &openedBody{io.MultiReader(bytes.NewReader(begins), resp.Body), resp.Body}
	return nil
}

// An openedBody is read on where its opening ends.
type openedBody struct {
	io.Reader
	io.Closer
}
