package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"strings"
)

// multipart makes a response of several parts of a stored body of size bytes
// (RFC 9110, section 15.3.7.2). It reports whether they can be read.
func (o *object) multipart(ctx context.Context, r *Response, parts []span, size int64) bool {
	boundary := rand.Text() // of 130 bits: no body has it
	b := &partsBody{}
	length := int64(0)
	for _, p := range parts {
		head := "\r\n--" + boundary + "\r\n"
		if t := o.header.Get("Content-Type"); t != "" {
			head += "Content-Type: " + t + "\r\n"
		}
		head += "Content-Range: " + contentRange(p, size) + "\r\n\r\n"
		body, err := o.body.read(ctx, p.first, p.size())
		if err != nil {
			b.Close()
			return false
		}
		b.add(strings.NewReader(head), body)
		length += int64(len(head)) + p.size()
	}
	end := "\r\n--" + boundary + "--\r\n"
	b.add(strings.NewReader(end), nil)
	b.Reader = io.MultiReader(b.readers...)
	r.Body, r.ContentLength = b, length+int64(len(end))
	r.Header = without(o.header)
	r.Header["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}
	r.Header["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	return true
}

// A partsBody is several bodies, one after another.
type partsBody struct {
	io.Reader
	readers []io.Reader
	bodies  []io.Closer
}

func (b *partsBody) add(head io.Reader, body io.ReadCloser) {
	b.readers = append(b.readers, head)
	if body != nil {
		b.readers, b.bodies = append(b.readers, body), append(b.bodies, body)
	}
}

// Close implements io.Closer.
func (b *partsBody) Close() (err error) {
	for _, c := range b.bodies {
		err = errors.Join(err, c.Close())
	}
	return err
}
