package meridian

import "errors"

// A Kind is what a caller can do about an error. Each hop turns kinds into its
// own wire in one table: dns/rcode.go, edge/status.go, gateway/status.go,
// postgres/sqlstate.go.
type Kind string

// The kinds. Internal is the kind of an error that says nothing else.
const (
	Internal           Kind = "internal"            // a bug, or a broken part
	Invalid            Kind = "invalid"             // the caller's input is wrong
	Unauthenticated    Kind = "unauthenticated"     // no credential, or a bad one
	Forbidden          Kind = "forbidden"           // a good credential without the right
	NotFound           Kind = "not found"           // there is no such thing
	TooLarge           Kind = "too large"           // over a limit that the caller can see
	Throttled          Kind = "throttled"           // over a rate or a concurrency limit
	Timeout            Kind = "timeout"             // the deadline passed
	Canceled           Kind = "canceled"            // the caller went away
	Unavailable        Kind = "unavailable"         // a part is down; trying later may help
	PrimaryUnavailable Kind = "primary unavailable" // the writer's region is down
	Crashed            Kind = "crashed"             // the function's process died
	Malformed          Kind = "malformed"           // a function's or peer's output cannot be read
)

// An Error is an error with a kind. Its text is that of Err alone.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// WithKind gives err a kind. It returns nil for a nil err.
func WithKind(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Err: err}
}

// KindOf returns the kind of the outermost error in err's chain that has one,
// Internal if none has, and "" for nil.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	}
	return Internal
}
