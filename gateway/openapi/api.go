package openapi

import (
	"strings"
	"time"

	"meridian"
	"meridian/gateway/cors"
	"meridian/gateway/event"
	"meridian/gateway/placement"
	"meridian/gateway/route"
)

// An API is what a file says. It is immutable.
type API struct {
	Title, Version string
	Routes         []Route
	Table          *route.Table // selects among Routes by index
	CORS           *cors.Config // x-amazon-apigateway-cors, or nil
	Notes          []string     // what an operator should know, but need not change
}

// A Route joins a route key to a function.
type Route struct {
	route.Key
	Operation string // operationId
	Function  string
	Format    event.Format
	Timeout   time.Duration // timeoutInMillis; 0 if not given
	Security  Security
	Placement placement.Mode   // x-meridian-placement; "" if not given
	Reads     meridian.Promise // x-meridian-consistency and x-meridian-on-unreachable
	Line      int              // of the operation in the file
}

// Security says who may call a route: whoever satisfies one of Any; everybody
// if Any is empty; and with Optional, those without a credential too.
type Security struct {
	Any      []Requirement
	Optional bool
}

// The kinds of Requirement.
const (
	APIKey      = "api-key"
	JWT         = "jwt"
	Certificate = "certificate" // of the client: mutual TLS
)

// A Requirement asks for one credential.
type Requirement struct {
	Kind   string   // APIKey, JWT or Certificate
	Name   string   // of the security scheme; for a JWT the authorizer's too
	Scopes []string // a JWT must have one of these, if there are any
}

// Known is what a file may refer to.
type Known struct {
	Functions   []string
	Authorizers []string // of JWTs

	// Certificates says that edges verify the certificates of clients, so that a
	// route may ask for one.
	Certificates bool
}

// A Problem is one mistake in a file.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where the file as a whole is meant
	Found        string
	Expected     string
}

// Problems are all mistakes of a file, in the order of its lines.
type Problems []*Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}
