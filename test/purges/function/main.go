// Command function is the AWS Lambda function of the purges' world: each of its
// answers may be cached for an hour, and bears a number of its own, so that two
// answers with one number are one invocation. It knows of no edge.
package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

type (
	request  = events.APIGatewayV2HTTPRequest
	response = events.APIGatewayV2HTTPResponse
)

func main() { lambda.Start(serve) }

// serve answers GET /objects/NAME after ?wait=MILLISECONDS, with the ?tag= that
// is asked for.
func serve(_ context.Context, r request) (response, error) {
	if r.RequestContext.HTTP.Method != http.MethodGet {
		return response{StatusCode: http.StatusNoContent}, nil
	}
	if ms, err := strconv.Atoi(r.QueryStringParameters["wait"]); err == nil {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
	h := map[string]string{"content-type": "text/plain", "cache-control": "max-age=3600"}
	if tag := r.QueryStringParameters["tag"]; tag != "" {
		h["cache-tag"] = tag
	}
	return response{StatusCode: http.StatusOK, Headers: h, Body: rand.Text()}, nil
}
