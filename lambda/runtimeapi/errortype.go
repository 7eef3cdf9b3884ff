package runtimeapi

import (
	"errors"
	"net/http"
	"regexp"
)

// The types in the JSON errors that the API answers to the process.
const (
	typeInvalidID    = "InvalidRequestID"
	typeState        = "InvalidStateTransition"
	typeTooLarge     = "RequestEntityTooLarge"
	typeNotFound     = "ResourceNotFound"
	typeMethod       = "MethodNotAllowed"
	typeInvalidMode  = "InvalidFunctionResponseMode"
	typeBroken       = "ContainerError"
	functionUnknown  = "Function.Unknown"
	runtimeUnknown   = "Runtime.Unknown"
	tooLargeResponse = "Function.ResponseSizeTooLarge"
	badModeResponse  = "Runtime.InvalidResponseModeHeader"
)

// refusal turns a Host's error into status and type.
func refusal(err error) (status int, errorType string) {
	switch {
	case errors.Is(err, ErrUnknownID):
		return http.StatusBadRequest, typeInvalidID
	case errors.Is(err, ErrState):
		return http.StatusForbidden, typeState
	}
	return http.StatusInternalServerError, typeBroken
}

var reported = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][a-zA-Z]+$`)

// errorType returns the type of a reported failure: what its body says, else
// its header if that is of Lambda's form, else unknown.
func errorType(body, header, unknown string) string {
	switch {
	case body != "":
		return body
	case reported.MatchString(header):
		return header
	}
	return unknown
}
