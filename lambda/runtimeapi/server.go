package runtimeapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	root = "/2018-06-01/runtime/"

	headerErrorType = "Lambda-Runtime-Function-Error-Type"
	headerErrorBody = "Lambda-Runtime-Function-Error-Body"
	headerMode      = "Lambda-Runtime-Function-Response-Mode"

	// MaxHeader is what the listening server must let pass: the header
	// Lambda-Runtime-Function-XRay-Error-Cause alone may have 1 MiB.
	MaxHeader = 2 << 20
)

// A Handler serves the API of one execution environment.
type Handler struct{ Host Host }

// ServeHTTP serves one call.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, id := route(r.URL.Path)
	switch {
	case c == unknown:
		refuse(w, http.StatusNotFound, typeNotFound, "no such call: "+r.URL.Path)
	case r.Method != c.method():
		w.Header().Set("Allow", c.method())
		refuse(w, http.StatusMethodNotAllowed, typeMethod, "want "+c.method())
	case c == next:
		h.next(w, r)
	case c == response:
		h.settle(w, id, readResponse, r)
	case c == failure:
		h.settle(w, id, readFailure, r)
	case c == initError:
		h.initError(w, r)
	}
}

// A call is one of the API's paths.
type call int

const (
	unknown call = iota
	next
	response
	failure
	initError
)

func (c call) method() string {
	if c == next {
		return http.MethodGet
	}
	return http.MethodPost
}

// route reads a path. The id is "" for calls that have none.
func route(path string) (call, string) {
	rest, ok := strings.CutPrefix(path, root)
	if !ok {
		return unknown, ""
	}
	switch rest {
	case "invocation/next":
		return next, ""
	case "init/error":
		return initError, ""
	}
	rest, ok = strings.CutPrefix(rest, "invocation/")
	if !ok {
		return unknown, ""
	}
	id, verb, _ := strings.Cut(rest, "/")
	switch {
	case id == "":
		return unknown, ""
	case verb == "response":
		return response, id
	case verb == "error":
		return failure, id
	}
	return unknown, ""
}

func (h Handler) next(w http.ResponseWriter, r *http.Request) {
	ev, err := h.Host.Next(r.Context())
	if err != nil {
		if r.Context().Err() == nil {
			refuseErr(w, err)
		}
		return
	}
	head := w.Header()
	head["Content-Type"] = []string{"application/json"}
	head["Content-Length"] = []string{strconv.Itoa(len(ev.Payload))}
	head["Lambda-Runtime-Aws-Request-Id"] = []string{ev.ID}
	head["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(ev.Deadline.UnixMilli(), 10)}
	head["Lambda-Runtime-Invoked-Function-Arn"] = []string{ev.ARN}
	if ev.Trace != "" {
		head["Lambda-Runtime-Trace-Id"] = []string{ev.Trace}
	}
	w.Write(ev.Payload) // a failure means that the process ended, which its Host sees
}

// settle reads an outcome and hands it to the Host. The process hears 413 for
// a body that is too large, but the invocation is settled all the same.
func (h Handler) settle(w http.ResponseWriter, id string, read func(*http.Request) (Outcome, error), r *http.Request) {
	out, err := read(r)
	var bad *badBody
	if err != nil && !errors.As(err, &bad) {
		return // the process broke off: it will die, or be late
	}
	if err := h.Host.Settle(id, out); err != nil {
		refuseErr(w, err)
		return
	}
	if bad != nil {
		refuse(w, bad.status, bad.errorType, bad.message)
		return
	}
	accept(w)
}

func (h Handler) initError(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	var bad *badBody
	switch {
	case errors.As(err, &bad):
		refuse(w, bad.status, bad.errorType, bad.message)
		return
	case err != nil:
		return
	}
	if err := h.Host.FailInit(parseFailure(body, r.Header.Get(headerErrorType), runtimeUnknown)); err != nil {
		refuseErr(w, err)
		return
	}
	accept(w)
}

// A badBody is a posted body that cannot be taken.
type badBody struct {
	status             int
	errorType, message string
}

func (b *badBody) Error() string { return b.message }

// readResponse reads a response. A runtime that finds only while it sends that
// it has failed says so in trailers.
func readResponse(r *http.Request) (Outcome, error) {
	if mode := r.Header.Get(headerMode); mode != "" && mode != "streaming" {
		io.Copy(io.Discard, r.Body)
		bad := &badBody{http.StatusBadRequest, typeInvalidMode, fmt.Sprintf("response mode %q: want streaming, or none", mode)}
		return unusable(badModeResponse, bad.message), bad
	}
	body, err := readBody(r)
	if err != nil {
		return unusable(tooLargeResponse, err.Error()), err
	}
	if t := r.Trailer.Get(headerErrorType); t != "" {
		detail, err := base64.StdEncoding.DecodeString(r.Trailer.Get(headerErrorBody))
		if err != nil {
			detail = nil
		}
		f := parseFailure(detail, t, functionUnknown)
		return Outcome{Failure: &f}, nil
	}
	return Outcome{Body: body}, nil
}

func readFailure(r *http.Request) (Outcome, error) {
	body, err := readBody(r)
	if err != nil {
		return unusable(tooLargeResponse, err.Error()), err
	}
	f := parseFailure(body, r.Header.Get(headerErrorType), functionUnknown)
	return Outcome{Failure: &f}, nil
}

func unusable(errorType, message string) Outcome {
	payload, _ := json.Marshal(wireError{errorType, message})
	return Outcome{Failure: &Failure{Type: errorType, Message: message, Payload: payload, Unusable: true}}
}

// readBody reads a body to its end and keeps no more than MaxPayload of it.
func readBody(r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= MaxPayload {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		return nil, err
	}
	if n > MaxPayload {
		// A client that still sends would not read the answer.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		return nil, &badBody{http.StatusRequestEntityTooLarge, typeTooLarge,
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxPayload)}
	}
	return b.Bytes(), nil
}

// parseFailure reads what a runtime posts about an error. A body that is not
// the documented JSON is kept as it is; only its type is then unknown.
func parseFailure(body []byte, header, unknown string) Failure {
	var e wireError
	if json.Unmarshal(body, &e) != nil {
		e = wireError{}
	}
	return Failure{Type: errorType(e.Type, header, unknown), Message: e.Message, Payload: body}
}

// A wireError is an error as the API writes it, in both directions.
type wireError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func accept(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuseErr(w http.ResponseWriter, err error) {
	status, errorType := refusal(err)
	refuse(w, status, errorType, err.Error())
}

func refuse(w http.ResponseWriter, status int, errorType, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(wireError{errorType, message}) // the process may be gone
}
