package lambda

import (
	"encoding/json"
	"fmt"
	"time"

	"meridian"
	"meridian/lambda/runtimeapi"
	"meridian/lambda/sandbox"
)

// A FunctionError says that a function failed: by its own account, or because
// its process did. Every error of Invoke that blames the function holds one;
// meridian.KindOf says what a caller can do about it.
type FunctionError struct {
	Type    string // Lambda's name for it, or one of the function's own
	Message string
	Payload []byte // what an AWS invoker would get: JSON as a rule
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// A fault is a way in which an invocation can fail.
type fault int

const (
	handlerFailed   fault = iota // the function said so
	outputUnusable               // it answered with what cannot be used
	taskTimedOut                 // it had no answer in time
	processExited                // it died
	outOfMemory                  // it died for its memory limit
	initFailed                   // its process said that it cannot work, or died before it could
	initTimedOut                 // its process never asked for work
	noSlot                       // there was no slot until the caller's deadline
	queueFull                    // too many wait already
	notRunning                   // the node stops
	eventTooLarge                // over Lambda's 6 MiB
	functionUnknown              // there is no such function
)

// faults is the table from a fault to Lambda's error type, and to the kind
// that the gateway's table takes on. An empty type is the function's own.
var faults = map[fault]struct {
	errorType string
	kind      meridian.Kind
}{
	handlerFailed:   {"", meridian.Internal},
	outputUnusable:  {"", meridian.Malformed},
	taskTimedOut:    {"Sandbox.Timedout", meridian.Timeout},
	processExited:   {"Runtime.ExitError", meridian.Crashed},
	outOfMemory:     {"Runtime.OutOfMemory", meridian.Crashed},
	initFailed:      {"", meridian.Crashed},
	initTimedOut:    {"Sandbox.Timedout", meridian.Crashed},
	noSlot:          {"TooManyRequestsException", meridian.Throttled},
	queueFull:       {"TooManyRequestsException", meridian.Throttled},
	notRunning:      {"ServiceException", meridian.Unavailable},
	eventTooLarge:   {"RequestTooLargeException", meridian.TooLarge},
	functionUnknown: {"ResourceNotFoundException", meridian.NotFound},
}

// fail makes the error of a fault that Meridian found.
func fail(f fault, format string, args ...any) error {
	e := &FunctionError{Type: faults[f].errorType, Message: fmt.Sprintf(format, args...)}
	e.Payload, _ = json.Marshal(map[string]string{"errorType": e.Type, "errorMessage": e.Message})
	return meridian.WithKind(faults[f].kind, e)
}

// reported makes the error of a fault that the process told of.
func reported(f fault, r runtimeapi.Failure) error {
	return meridian.WithKind(faults[f].kind, &FunctionError{Type: r.Type, Message: r.Message, Payload: r.Payload})
}

// timedOut has Lambda's words.
func timedOut(id string, after time.Duration) error {
	return fail(taskTimedOut, "RequestId: %s Error: Task timed out after %.2f seconds", id, after.Seconds())
}

// died makes the error for an invocation whose process died.
func died(id string, x sandbox.Exit) error {
	f := processExited
	if x.OutOfMemory {
		f = outOfMemory
	}
	return fail(f, "RequestId: %s Error: Runtime exited with error: %s", id, x)
}
