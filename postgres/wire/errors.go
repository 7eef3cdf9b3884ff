package wire

import "fmt"

// An Error is what an ErrorResponse says: the fields that routing and people
// need (PostgreSQL documentation, 55.8).
type Error struct {
	Severity string // ERROR, FATAL or PANIC
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
	Others   string // the other fields, as they were sent: where it happened and to what
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (SQLSTATE %s)", e.Severity, e.Message, e.Code)
}

// Fatal reports whether the connection ends with the error.
func (e *Error) Fatal() bool { return e.Severity == "FATAL" || e.Severity == "PANIC" }

// ParseError decodes an ErrorResponse's or NoticeResponse's body.
func ParseError(body []byte) (*Error, error) {
	e := &Error{}
	for len(body) > 0 && body[0] != 0 {
		field := body[0]
		value, rest, ok := cstring(body[1:])
		if !ok {
			return nil, malformed("ErrorResponse")
		}
		switch field {
		case 'S':
			if e.Severity == "" {
				e.Severity = string(value)
			}
		case 'V': // never localised
			e.Severity = string(value)
		case 'C':
			e.Code = string(value)
		case 'M':
			e.Message = string(value)
		case 'D':
			e.Detail = string(value)
		case 'H':
			e.Hint = string(value)
		default:
			e.Others += string(body[:len(body)-len(rest)])
		}
		body = rest
	}
	return e, nil
}

// Error appends an ErrorResponse.
func (b Builder) Error(e *Error) Builder { return b.fields('E', e) }

// Notice appends a NoticeResponse.
func (b Builder) Notice(e *Error) Builder { return b.fields('N', e) }

func (b Builder) fields(t byte, e *Error) Builder {
	head := field('S', e.Severity) + field('V', e.Severity) + field('C', e.Code) + field('M', e.Message)
	return b.Message(t, []byte(head), []byte(e.Rest()), []byte{0})
}

// Rest returns what stands behind the message, as Others would have it.
func (e *Error) Rest() string { return field('D', e.Detail) + field('H', e.Hint) + e.Others }

func field(kind byte, value string) string {
	if value == "" {
		return ""
	}
	return string(rune(kind)) + value + "\x00"
}
