package origin

import (
	"errors"
	"fmt"

	"meridian"
)

// An Error is a request that got no response.
type Error struct {
	Region meridian.Region
	Sent   Sent
	Kind   meridian.Kind // Unavailable, Timeout, Malformed, Canceled or Invalid
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("request to %s, %s: %v", e.Region, e.Sent, e.Err)
}
func (e *Error) Unwrap() error { return e.Err }

// A BodyError is how the reader of a request's body says that the failure is
// its own, and not the region's. It makes an Error of kind Invalid.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// goAway is the text of the error with which net/http answers a request whose
// stream is beyond the last that a GOAWAY frame names (RFC 9113, section 6.8:
// such a request was not and will not be processed). net/http gives it no other
// mark; TestGoAwayIsUnsent fails if it ever changes.
const goAway = "http2: Transport received Server's graceful shutdown GOAWAY"

// refusedStream is the error code REFUSED_STREAM (RFC 9113, section 8.7).
const refusedStream = 0x7

// A streamError is net/http's unexported error of a reset stream, which
// copies itself into any struct of this shape when errors.As asks.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "stream reset" }

// ResetCode returns the error code by which a stream was reset, if err is of that.
func ResetCode(err error) (code uint32, ok bool) {
	var reset streamError
	ok = errors.As(err, &reset)
	return reset.Code, ok
}

// sentBy tells how far a request got that failed with err. wrote says that its
// headers reached the connection; canceled, that the caller gave up, after
// which net/http does not say any more what became of them.
func sentBy(err error, wrote, canceled bool) Sent {
	code, reset := ResetCode(err)
	switch {
	case !wrote && !canceled:
		return Unsent
	case reset && code == refusedStream:
		return Unsent
	case err != nil && err.Error() == goAway:
		return Unsent
	}
	return MaybeSent
}
