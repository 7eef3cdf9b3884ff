package edge

import (
	"slices"
	"strings"
	"testing"
)

// An asRead is one request as somebody reads it.
type asRead struct{ method, target, host, body string }

// A lenient reader reads HTTP/1.1 as servers do that take what they can make
// sense of. Each of its habits was one side of a published smuggling attack. It
// is what readings of the edge are compared with: who takes only what has one
// reading is understood by all of them alike.
type lenient struct {
	name string

	lineEnds   string // what ends a line; CRLF always does
	nul        bool   // a line ends at a NUL, as text does in C
	folds      bool   // a line that begins with white space continues the one before
	spaces     bool   // white space around a name is no part of it
	underscore bool   // _ is - in names, as CGI has it
	last       bool   // of two lengths or codings the last counts
	length     bool   // a length counts more than a coding
	anyCoding  bool   // chunked is what contains the word
	number     bool   // a number ends where no digit is, and may have a sign, 0x and spaces before it
	hostHeader bool   // Host counts more than the target
}

// lenients are the readers that take part. The last has every habit.
var lenients = []lenient{
	{name: "strict"},
	{name: "bare LF", lineEnds: "\n"},
	{name: "bare CR", lineEnds: "\n\r"},
	{name: "NUL", lineEnds: "\n", nul: true},
	{name: "folds", lineEnds: "\n", folds: true},
	{name: "spaces", lineEnds: "\n", spaces: true},
	{name: "underscore", lineEnds: "\n", underscore: true},
	{name: "last", lineEnds: "\n", last: true},
	{name: "length", lineEnds: "\n", length: true},
	{name: "any coding", lineEnds: "\n", anyCoding: true},
	{name: "number", lineEnds: "\n", number: true},
	{name: "all", lineEnds: "\n\r", nul: true, folds: true, spaces: true, underscore: true, last: true, anyCoding: true, number: true},
	{name: "all, and length", lineEnds: "\n", nul: true, folds: true, spaces: true, underscore: true, length: true, anyCoding: true, number: true},
}

// read returns the requests in a text. One that is not whole is not among them.
func (l lenient) read(text string) (out []asRead) {
	for {
		r, rest, ok := l.one(text)
		if !ok {
			return out
		}
		out, text = append(out, r), rest
	}
}

// one reads a request, and returns what follows it.
func (l lenient) one(text string) (r asRead, rest string, ok bool) {
	var line string
	for line == "" {
		if line, text, ok = l.line(text); !ok {
			return r, "", false
		}
	}
	words := strings.Fields(line)
	if len(words) < 2 {
		return r, "", false
	}
	r.method, r.target = words[0], words[1]
	var fields [][2]string
	if fields, text, ok = l.fields(text); !ok {
		return r, "", false
	}
	hosts, lengths, codings := values(fields, "host"), values(fields, "content-length"), values(fields, "transfer-encoding")
	r.host = l.pick(hosts)
	if _, after, absolute := strings.Cut(r.target, "://"); absolute && r.target[0] != '/' && !l.hostHeader {
		if named := after[:cutAt(after, "/?")]; named != "" {
			r.host = named
		}
	}
	if r.method == "CONNECT" && r.target[0] != '/' { // RFC 9112, section 3.2.3
		r.host = r.target
	}
	switch {
	case l.chunked(l.pick(codings)) && (len(lengths) == 0 || !l.length):
		r.body, rest, ok = l.chunks(text)
	case len(lengths) > 0:
		n, _ := l.count(l.pick(lengths), 10)
		if ok = n <= len(text); ok {
			r.body, rest = text[:n], text[n:]
		}
	default:
		rest = text
	}
	return r, rest, ok
}

func cutAt(s, any string) int {
	if i := strings.IndexAny(s, any); i >= 0 {
		return i
	}
	return len(s)
}

// line returns the first line of a text without its end.
func (l lenient) line(text string) (line, rest string, ok bool) {
	end, width := strings.Index(text, "\r\n"), 2
	if i := strings.IndexAny(text, l.lineEnds); i >= 0 && (end < 0 || i < end) {
		end, width = i, 1
	}
	if end < 0 {
		return "", "", false
	}
	line, rest = text[:end], text[end+width:]
	if l.nul {
		line, _, _ = strings.Cut(line, "\x00")
	}
	return line, rest, true
}

// fields reads header lines and the empty one after them.
func (l lenient) fields(text string) (out [][2]string, rest string, ok bool) {
	for {
		var line string
		if line, text, ok = l.line(text); !ok || line == "" {
			return out, text, ok
		}
		if (line[0] == ' ' || line[0] == '\t') && l.folds && len(out) > 0 {
			out[len(out)-1][1] = strings.TrimSpace(out[len(out)-1][1] + " " + strings.TrimSpace(line))
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if l.spaces {
			name = strings.TrimSpace(name)
		}
		if l.underscore {
			name = strings.ReplaceAll(name, "_", "-")
		}
		out = append(out, [2]string{strings.ToLower(name), strings.Trim(value, " \t\r\v\f\x00")})
	}
}

func values(fields [][2]string, name string) (out []string) {
	for _, f := range fields {
		if f[0] == name {
			out = append(out, f[1])
		}
	}
	return out
}

func (l lenient) pick(values []string) string {
	switch {
	case len(values) == 0:
		return ""
	case l.last:
		return values[len(values)-1]
	}
	return values[0]
}

func (l lenient) chunked(coding string) bool {
	if coding = strings.ToLower(coding); l.anyCoding {
		return strings.Contains(coding, "chunked")
	}
	return coding == "chunked"
}

// count reads a number, and returns what is after it.
func (l lenient) count(s string, base int) (n int, rest string) {
	if l.number {
		s = strings.TrimLeft(s, " \t+")
		if base == 16 {
			s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
		}
	}
	for i := range len(s) {
		d := strings.IndexByte("0123456789abcdef"[:base], s[i]|0x20)
		if d < 0 || s[i] < '0' || n > 1<<40 {
			return n, s[i:]
		}
		n = n*base + d
	}
	return n, ""
}

// chunks reads a chunked body and its trailers.
func (l lenient) chunks(text string) (body, rest string, ok bool) {
	for {
		var line string
		if line, text, ok = l.line(text); !ok {
			return "", "", false
		}
		n, _ := l.count(line, 16)
		if n == 0 {
			_, rest, ok = l.fields(text)
			return body, rest, ok
		}
		if n > len(text) {
			return "", "", false
		}
		body, text = body+text[:n], text[n:]
		if _, text, ok = l.line(text); !ok {
			return "", "", false
		}
	}
}

// TestLenientReadersDiffer is the control of all that is compared with them: each
// reads an attack as it was meant, and the strict one does not.
func TestLenientReadersDiffer(t *testing.T) {
	const get = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	post := func(head string) string { return "POST / HTTP/1.1\r\nHost: a\r\n" + head }
	for name, text := range map[string]string{
		"bare LF":    post("X: y\nContent-Length: 0\n\n") + get + "\r\n\r\n",
		"bare CR":    post("X: y\r\rGET /smuggled HTTP/1.1\r\r\r\n\r\n"),
		"NUL":        post("Content-Length: 0\x00\r\n\x00x\r\n") + get,
		"folds":      post("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n") + get,
		"spaces":     post("Content-Length : 0\r\nContent-Length: 35\r\n\r\n") + get,
		"underscore": post("Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n") + get,
		"last":       post("Content-Length: 35\r\nContent-Length: 0\r\n\r\n") + get,
		"length":     post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + get,
		"any coding": post("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n") + get,
		"number":     post("Content-Length: +35\r\n\r\n") + get,
	} {
		i := slices.IndexFunc(lenients, func(l lenient) bool { return l.name == name })
		if strict, loose := lenients[0].read(text), lenients[i].read(text); slices.Equal(strict, loose) {
			t.Errorf("%s: %q has one reading: %q", name, text, strict)
		}
	}
	if got := lenients[0].read(post("Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n") + get); !slices.Equal(got, []asRead{{"POST", "/", "a", "abc"}, {"GET", "/smuggled", "a", ""}}) {
		t.Errorf("two plain requests: %q", got)
	}
}
