// Package web turns API Gateway events (payload format 2.0) into calls of
// typed handlers, and what they return into JSON answers. It knows nothing of
// the application but who is asking.
package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// A Handler answers one operation with the status and the value to encode as
// JSON. A nil value is an empty body. A nil error and a value are final; an
// error is turned into an answer by the table in errors.go.
type Handler func(context.Context, *Request) (status int, value any, err error)

// Access says what an operation wants to know of its caller.
type Access int

const (
	// Public operations do not look at credentials at all.
	Public Access = iota
	// Optional operations answer anybody, and refuse a bad credential.
	Optional
	// Lenient operations answer anybody, and take a bad credential for none:
	// those whose description has no 401.
	Lenient
	// Required operations answer only a caller whom they know.
	Required
)

// A Route is an operation and its access rule.
type Route struct {
	Access Access
	Do     Handler
}

// A Request is what a handler may ask about.
type Request struct {
	// Viewer is the id of the calling user, 0 for an anonymous caller.
	Viewer int64
	// Token is the credential that named the viewer.
	Token string

	event events.APIGatewayV2HTTPRequest
}

// Path returns a decoded path parameter.
func (r *Request) Path(name string) string { return r.event.PathParameters[name] }

// Query returns a decoded query parameter, "" if it is absent.
func (r *Request) Query(name string) string { return r.event.QueryStringParameters[name] }

// Body returns the request's bytes.
func (r *Request) Body() ([]byte, error) {
	if !r.event.IsBase64Encoded {
		return []byte(r.event.Body), nil
	}
	return base64.StdEncoding.DecodeString(r.event.Body)
}

// An App serves routes, keyed as the gateway names them: "GET /api/tags".
// It is safe for parallel invocations.
type App struct {
	Routes map[string]Route
	// Identify returns the user whom a token names, or an error if the token
	// is none of ours, forged or expired.
	Identify func(token string) (user int64, err error)
	Log      *slog.Logger
}

// Serve is the Lambda function. It never returns an error: what goes wrong has
// an answer, and the process stays fit for the next invocation.
func (a *App) Serve(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	status, value, err := a.do(ctx, event)
	if err != nil {
		failure := explain(err)
		if failure.Status >= http.StatusInternalServerError {
			a.Log.ErrorContext(ctx, "operation failed", "route", event.RouteKey,
				"request", event.RequestContext.RequestID, "status", failure.Status, "err", err)
		}
		status, value = failure.Status, failure
	}
	return encode(status, value)
}

func (a *App) do(ctx context.Context, event events.APIGatewayV2HTTPRequest) (int, any, error) {
	route, ok := a.Routes[event.RouteKey]
	if !ok {
		return 0, nil, NotFound("route")
	}
	r := &Request{event: event}
	if err := a.identify(r, route.Access); err != nil {
		return 0, nil, err
	}
	return route.Do(ctx, r)
}

func (a *App) identify(r *Request, access Access) error {
	if access == Public {
		return nil
	}
	token := credential(r.event.Headers["authorization"])
	if token == "" {
		if access == Required {
			return Unauthorized("token", "is missing")
		}
		return nil
	}
	user, err := a.Identify(token)
	if err != nil {
		if access == Lenient {
			return nil
		}
		return Unauthorized("token", "is invalid")
	}
	r.Viewer, r.Token = user, token
	return nil
}

// credential returns the token of an Authorization header. The API's own
// scheme is Token; Bearer means the same. Any other scheme is none of ours.
func credential(header string) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "Token") && !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func encode(status int, value any) (events.APIGatewayV2HTTPResponse, error) {
	if value == nil {
		return events.APIGatewayV2HTTPResponse{StatusCode: status}, nil
	}
	text, err := json.Marshal(value)
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers:    map[string]string{"content-type": "application/json; charset=utf-8"},
		Body:       string(text),
	}, err
}
