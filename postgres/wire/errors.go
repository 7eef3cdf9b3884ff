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
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (SQLSTATE %s)", e.Severity, e.Message, e.Code)
}

// Fatal reports whether the connection ends with the error.
func (e *Error) Fatal() bool { return e.Severity == "FATAL" || e.Severity == "PANIC" }

// ParseError decodes an ErrorResponse's or NoticeResponse's body. Fields that
// it does not know are passed over.
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
	var body []byte
	add := func(field byte, value string) {
		if value != "" {
			body = append(append(append(body, field), value...), 0)
		}
	}
	add('S', e.Severity)
	add('V', e.Severity)
	add('C', e.Code)
	add('M', e.Message)
	add('D', e.Detail)
	add('H', e.Hint)
	return b.Message(t, body, []byte{0})
}
