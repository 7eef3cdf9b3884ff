package compress

import (
	"net/http"
	"strings"
)

// Least is the size of a body, in bytes, below which encoding it is not worth a
// header more: CloudFront's.
const Least = 1000

// Worth reports whether the body of a response may be encoded and is worth it,
// or why not. size is the body's length, or -1 if nobody knows it yet.
func Worth(status int, h http.Header, size int64) (ok bool, why string) {
	switch {
	case status < 200 || status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified:
		return false, "it has no body"
	case status == http.StatusPartialContent || len(h["Content-Range"]) > 0:
		return false, "it is a part" // of the bytes as the origin has them
	case len(h["Content-Encoding"]) > 0:
		return false, "it is encoded already"
	case says(h["Cache-Control"], "no-transform"): // RFC 9110, section 7.7
		return false, "it says no-transform"
	case len(h["Content-Digest"])+len(h["Repr-Digest"])+len(h["Digest"])+len(h["Content-Md5"]) > 0:
		return false, "it has a digest of its bytes"
	case size >= 0 && size < Least:
		return false, "it is small"
	case !compressible(h.Get("Content-Type")):
		return false, "its type"
	}
	return true, "its type"
}

// Refuses reports whether a request wants the response's bytes as the origin
// made them (RFC 9111, section 5.2.1.6).
func Refuses(request http.Header) bool { return says(request["Cache-Control"], "no-transform") }

func says(lines []string, directive string) bool {
	for _, line := range lines {
		for d := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(d), directive) {
				return true
			}
		}
	}
	return false
}

// types are the media types that get smaller, beside text/*, *+json and *+xml:
// CloudFront's list, without what nobody sends any more.
var types = map[string]bool{
	"application/json": true, "application/xml": true, "application/javascript": true, "application/x-javascript": true,
	"application/ecmascript": true, "application/wasm": true, "application/x-ndjson": true, "application/jsonl": true, "application/json-seq": true,
	"application/graphql": true, "application/sql": true, "application/yaml": true, "application/toml": true, "application/rtf": true,
	"application/x-www-form-urlencoded": true, "application/vnd.apple.mpegurl": true, "application/vnd.ms-fontobject": true,
	"application/x-font-ttf": true, "application/x-font-otf": true, "font/ttf": true, "font/otf": true, "font/eot": true,
	"image/bmp": true, "image/x-icon": true, "image/vnd.microsoft.icon": true,
}

// compressible reports whether bodies of a media type get smaller. Event streams
// do, but each would hold an encoder's memory for as long as its viewer stays.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.TrimSpace(strings.ToLower(t)) // as mime.ParseMediaType does, which judges parameters as well
	switch {
	case t == "text/event-stream":
		return false
	case strings.HasPrefix(t, "text/"), strings.HasSuffix(t, "+json"), strings.HasSuffix(t, "+xml"):
		return true
	}
	return types[t]
}
