package framing

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A message is what its head says of where a request ends, and for whom it is.
type message struct {
	minor   int // of its version
	hosts   int
	lengths int
	length  int64
	codings int
	chunked bool
	upgrade bool
	expect  bool
}

// requestLine judges the first line (RFC 9112, section 3).
func (m *message) requestLine(text []byte) (why string) {
	method, rest, ok1 := bytes.Cut(text, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	switch {
	case !ok1 || !ok2:
		return "a request line that is not three words"
	case !ValidMethod(string(method)):
		return "a method that is no token in capitals"
	case !visible(target):
		return "a target with a space or a control character"
	}
	if why := wellAddressed(string(method), string(target)); why != "" {
		return why
	}
	switch string(version) {
	case "HTTP/1.1":
		m.minor = 1
	case "HTTP/1.0":
	default:
		return "a version that is neither HTTP/1.1 nor HTTP/1.0"
	}
	return ""
}

// header judges one line of the head (RFC 9112, section 5).
func (m *message) header(text []byte) (why string) {
	name, value, why := field(text)
	if why != "" {
		return why
	}
	switch {
	case is(name, "host"):
		if m.hosts++; m.hosts > 1 || !ValidHost(string(value)) {
			return "a host that is not one name"
		}
	case is(name, "content-length"):
		if m.lengths++; m.lengths > 1 || !digits(string(value)) {
			return "a content-length that is not one number"
		}
		m.length, _ = strconv.ParseInt(string(value), 10, 64)
	case is(name, "transfer-encoding"):
		if m.codings++; m.codings > 1 || !strings.EqualFold(string(value), "chunked") {
			return "a transfer-encoding that is not chunked alone"
		}
		m.chunked = true
	case is(name, "upgrade"):
		m.upgrade = true
	case is(name, "expect"):
		m.expect = true
	case Disguised(string(name)):
		return disguised
	}
	return ""
}

// is reports whether a header's name is one that is given in small letters.
func is(name []byte, small string) bool {
	return len(name) == len(small) && strings.EqualFold(string(name), small)
}

// disguised is why a name like Transfer_Encoding is refused.
const disguised = "a header's name that is one of framing to who does not tell _ from -"

// Disguised reports whether a name says where a message ends to a program that
// does not tell _ from -, as those do not that hand on headers as variables.
func Disguised(name string) bool {
	if !strings.Contains(name, "_") {
		return false
	}
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "content-length", "transfer-encoding":
		return true
	}
	return false
}

// verdict judges the head as a whole (RFC 9112, section 6.3).
func (m *message) verdict() (why string) {
	switch {
	case m.minor == 1 && m.hosts != 1:
		return "no host"
	case m.chunked && m.lengths > 0:
		return "a transfer-encoding and a content-length"
	case m.chunked && m.minor == 0:
		return "a transfer-encoding in HTTP/1.0"
	}
	return ""
}

// field reads a field line: a name, a colon right after it, and a value of
// visible characters, spaces and tabs.
func field(text []byte) (name, value []byte, why string) {
	name, value, ok := bytes.Cut(text, []byte(":"))
	switch {
	case text[0] == ' ' || text[0] == '\t':
		return nil, nil, "a folded line"
	case !ok || !isToken(name):
		return nil, nil, "a header's name that is no token right before its colon"
	case !printable(value):
		return nil, nil, "a header's value with a control character"
	}
	return name, bytes.Trim(value, " \t"), ""
}

// printable reports whether a value has no control character but tabs, as
// httpguts.ValidHeaderFieldValue does of a string.
func printable(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// framers are the names that must not come after a body (RFC 9110, section 6.5.1).
var framers = []string{"host", "content-length", "transfer-encoding", "trailer", "te", "connection", "upgrade"}

func trailer(text []byte) (why string) {
	name, _, why := field(text)
	if Disguised(string(name)) {
		return disguised
	}
	for _, f := range framers {
		if is(name, f) {
			return "a trailer that says where a message ends, or for whom it is"
		}
	}
	return why
}

// chunkSize reads the line before a chunk (RFC 9112, section 7.1).
func chunkSize(text []byte) (n int64, why string) {
	digits, extensions, _ := bytes.Cut(text, []byte(";"))
	if len(digits) == 0 || len(digits) > 15 {
		return 0, "a chunk's size that is no number of at most 15 digits"
	}
	if len(digits) < len(text) && !validExtensions(string(extensions)) {
		return 0, "a chunk's extension that is none"
	}
	for _, d := range digits {
		v := strings.IndexByte("0123456789abcdef", d|0x20)
		if d < '0' || v < 0 || d > '9' && d|0x20 < 'a' {
			return 0, "a chunk's size that is no number of at most 15 digits"
		}
		n = n<<4 | int64(v)
	}
	return n, ""
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return len(b) > 0
}

// visible reports whether a target has no space or control character. Bytes
// above ASCII pass: they mean themselves.
func visible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}
