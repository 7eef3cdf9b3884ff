package runtimeapi

import (
	"context"
	"errors"
	"time"
)

// MaxPayload is the most bytes that a response may have: Lambda's 6 MiB, and
// 100 bytes for what wraps it.
const MaxPayload = 6<<20 + 100

// What a Host answers to calls that come at the wrong time.
var (
	ErrUnknownID = errors.New("no such invocation was handed out")
	ErrState     = errors.New("the call is out of order")
)

// A Host is the execution environment behind the API. Its methods are called
// by many goroutines at once.
type Host interface {
	// Next waits for an event until ctx ends. It returns ErrState if the
	// process has reported that it could not be initialised.
	Next(ctx context.Context) (*Event, error)
	// Settle takes what became of the invocation id. It returns ErrUnknownID
	// for an id that Next never handed out, ErrState for one settled before.
	Settle(id string, o Outcome) error
	// FailInit takes the process's report that it cannot work at all. It
	// returns ErrState once Next has been called.
	FailInit(f Failure) error
}

// An Event is one invocation, as next hands it to the process.
type Event struct {
	ID       string // of characters that a path segment allows
	Payload  []byte // JSON
	Deadline time.Time
	ARN      string // of the function
	Trace    string // an X-Ray trace header: Root=...;Parent=...;Sampled=1; or ""
}

// An Outcome is a function's response, or its failure if that is not nil.
type Outcome struct {
	Body    []byte
	Failure *Failure
}

// A Failure is what a process reports of an error of its own, or what stands
// for a response that could not be taken.
type Failure struct {
	Type    string // such as Runtime.ExitError, or a type of the function's own
	Message string
	Payload []byte // as posted: JSON as a rule, with a stackTrace
	// Unusable says that the function did answer, but with what cannot be used.
	Unusable bool
}
