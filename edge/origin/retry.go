package origin

import (
	"fmt"
	"net/http"
	"time"
)

// Sent says how far a failed request got.
type Sent string

// The degrees. What is not surely unsent is maybe sent.
const (
	Unsent    Sent = "unsent"     // the region cannot have begun to execute it
	MaybeSent Sent = "maybe sent" // it may have been executed, once
)

// An Attempt is what Retry decides on: a request that a region did not answer.
type Attempt struct {
	Method     string
	Sent       Sent
	Replayable bool          // all that was read of the body can be sent again
	ClientGone bool          // nobody waits for the answer any more
	TimedOut   bool          // the region took the request, and was too slow
	Tries      int           // attempts so far, this one included
	MaxTries   int           // attempts allowed
	Left       time.Duration // until the request's deadline
	Keyed      bool          // it has an Idempotency-Key
	Once       bool          // by which every region that it may be sent to executes it once
}

// A Verdict says whether to send a request again, and why or why not.
type Verdict struct {
	Again bool
	Why   string
}

// Retry decides whether a request that failed may be sent to another region. A
// request that is not safe (RFC 9110, section 9.2.1) is sent again only if it
// surely was not executed, or if the regions see to it that it is executed once
// (guarantee 4).
func Retry(a Attempt) Verdict {
	switch {
	case a.ClientGone:
		return Verdict{false, "the client went away"}
	case !a.Replayable:
		return Verdict{false, "its body was sent on already, and is too large to be kept"}
	case a.Left <= 0:
		return Verdict{false, "no time is left"}
	case a.Tries >= a.MaxTries:
		return Verdict{false, fmt.Sprintf("it was tried %d times", a.Tries)}
	case a.Sent == Unsent:
		return Verdict{true, "it was never sent"}
	case a.TimedOut:
		return Verdict{false, "the region has it, and is slow"}
	case Safe(a.Method):
		return Verdict{true, a.Method + " is safe to repeat"}
	case a.Once:
		return Verdict{true, "the regions execute it once, by its Idempotency-Key"}
	case a.Keyed:
		return Verdict{false, a.Method + " may have been executed, and where it goes nobody deduplicates by its Idempotency-Key"}
	}
	return Verdict{false, a.Method + " may have been executed"}
}

// Safe reports whether a request of that method asks for nothing to be done,
// so that doing it twice is doing it once.
func Safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
