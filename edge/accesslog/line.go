package accesslog

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Format says how a line looks.
type Format string

// The formats.
const (
	JSON       Format = "json"       // names of Meridian's own, numbers as numbers
	CloudFront Format = "cloudfront" // the names, the units and the texts of CloudFront's standard logs (v2) in JSON
)

// appendLine writes an entry as one line.
func appendLine(b []byte, e *Entry, f Format) []byte {
	w := &object{b: append(b, '{')}
	if f == CloudFront {
		w.cloudfront(e)
	} else {
		w.own(e)
	}
	return append(w.b, '}', '\n')
}

// An object is a JSON object that is being written.
type object struct{ b []byte }

func (o *object) key(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(append(o.b, name...), '"', ':')
}

// text writes a text, but none where there is none.
func (o *object) text(name, s string) {
	if s != "" {
		o.key(name)
		o.b = appendString(o.b, s)
	}
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) seconds(name string, d time.Duration) {
	o.key(name)
	o.b = strconv.AppendFloat(o.b, d.Seconds(), 'f', 6, 64)
}

// appendString writes a JSON text. What strangers send may have any bytes.
func appendString(b []byte, s string) []byte {
	plain := func(r rune) bool { return r >= ' ' && r < 0x7f && r != '"' && r != '\\' }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return append(append(append(b, '"'), s...), '"')
	}
	text, _ := json.Marshal(s) // a string: cannot fail
	return append(b, text...)
}

// own writes an entry with Meridian's names.
func (o *object) own(e *Entry) {
	o.text("time", e.Time.UTC().Format(time.RFC3339Nano))
	o.text("place", e.Place)
	o.text("request", e.Request)
	o.text("trace", e.Trace)
	o.text("client", e.Client.Addr().String())
	o.text("country", e.Country)
	o.text("protocol", e.Protocol)
	o.text("tls", e.TLS)
	o.text("cipher", e.Cipher)
	o.text("method", e.Method)
	o.text("host", e.Host)
	o.text("path", e.Path)
	o.text("query", e.Query)
	o.text("referer", e.Referer)
	o.text("user_agent", e.UserAgent)
	o.text("cookie", e.Cookie)
	o.number("status", int64(e.Status))
	o.number("bytes_in", e.BytesIn)
	o.number("bytes_out", e.BytesOut)
	o.text("content_type", e.ContentType)
	o.seconds("took", e.Took)
	if e.FirstByte > 0 {
		o.seconds("first_byte", e.FirstByte)
	}
	o.text("cache", e.Outcome)
	o.text("behavior", e.Behavior)
	o.text("region", e.Region)
	o.text("why", e.Why)
	o.text("guard", e.Guard)
	o.text("rollout", e.Rollout)
	o.text("function", e.Function)
	o.text("viewer_request_log_data", e.Notes[0])
	o.text("viewer_response_log_data", e.Notes[1])
	o.text("fault", string(e.Fault))
	o.text("error", e.Error)
}

// or returns CloudFront's word for nothing where there is nothing.
func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// cloudfront writes an entry as CloudFront's standard logs do: every value is a
// text, - is nothing, and what may have spaces is escaped. The time is that of the
// end. Bytes are those of bodies: those of headers an engine does not tell.
func (o *object) cloudfront(e *Entry) {
	result, detailed := Result(e)
	put := func(name, value string) { o.text(name, or(value)) }
	at := e.Time.Add(e.Took).UTC()
	status := strconv.Itoa(e.Status)
	if e.Status == 0 || e.Status == 499 {
		status = "000" // the client was gone
	}
	from, to := rangeOf(e.ContentRange)
	put("date", at.Format(time.DateOnly))
	put("time", at.Format(time.TimeOnly))
	put("x-edge-location", e.Place)
	put("sc-bytes", strconv.FormatInt(e.BytesOut, 10))
	put("c-ip", e.Client.Addr().String())
	put("cs-method", e.Method)
	put("cs(Host)", e.Host)
	put("cs-uri-stem", e.Path)
	put("sc-status", status)
	put("cs(Referer)", escaped(e.Referer))
	put("cs(User-Agent)", escaped(e.UserAgent))
	put("cs-uri-query", e.Query)
	put("cs(Cookie)", escaped(e.Cookie))
	put("x-edge-result-type", result)
	put("x-edge-request-id", e.Request)
	put("x-host-header", e.Host)
	put("cs-protocol", map[bool]string{true: "https", false: "http"}[e.TLS != ""])
	put("cs-bytes", strconv.FormatInt(e.BytesIn, 10))
	put("time-taken", fixed(e.Took))
	put("x-forwarded-for", escaped(e.Forwarded))
	put("ssl-protocol", e.TLS)
	put("ssl-cipher", e.Cipher)
	put("x-edge-response-result-type", result)
	put("cs-protocol-version", e.Protocol)
	put("fle-status", "")
	put("fle-encrypted-fields", "")
	put("c-port", strconv.Itoa(int(e.Client.Port())))
	put("time-to-first-byte", fixed(e.FirstByte))
	put("x-edge-detailed-result-type", detailed)
	put("sc-content-type", e.ContentType)
	put("sc-content-len", e.ContentLength)
	put("sc-range-start", from)
	put("sc-range-end", to)
	put("timestamp", fmt.Sprintf("%d.%03d", at.Unix(), at.Nanosecond()/1e6))
	put("c-country", e.Country)
	put("cache-behavior-path-pattern", e.Behavior)
	put("viewer-request-log-data", note(e.Notes[0]))
	put("viewer-response-log-data", note(e.Notes[1]))
}

// maxNote bounds what a function leaves for a line, in bytes as they are written.
const maxNote = 800

// note returns as much of a text as there is room for, with no half of an escape.
func note(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	if len(s) <= maxNote {
		return s
	}
	s = s[:maxNote]
	if i := strings.LastIndexByte(s, '%'); i > maxNote-3 {
		s = s[:i]
	}
	return s
}

func fixed(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// escaped returns a value with what CloudFront escapes: no more, or what reads its
// logs would not find "curl/8".
func escaped(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"#%{}|\\^~[]`'", c) >= 0 {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// rangeOf returns the first and last byte of Content-Range (RFC 9110, section
// 14.4), or nothing.
func rangeOf(s string) (from, to string) {
	s, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return "", ""
	}
	s, _, _ = strings.Cut(s, "/")
	from, to, _ = strings.Cut(s, "-")
	return from, to
}
