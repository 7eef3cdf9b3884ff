package main

import (
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/jackc/pgx/v5/pgxpool"
)

// TestGreetingNeedsNoDatabase: a function whose database is away still answers
// what it can, and says so for the rest.
func TestGreetingNeedsNoDatabase(t *testing.T) {
	db, err := pgxpool.New(t.Context(), "postgres://hello@/hello?host="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	hello := handler(db, "eu-west-1")
	for route, want := range map[string]struct {
		status int
		body   string
	}{
		"GET /hello/{name}": {http.StatusOK, `{"hello":"you","region":"eu-west-1"}`},
		"GET /private":      {http.StatusOK, `{"region":"eu-west-1","welcome":"you have a key"}`},
		"GET /visits":       {http.StatusInternalServerError, `{"message":"the count is not available now"}`},
		"GET /elsewhere":    {http.StatusNotFound, `{"message":"Not Found"}`},
	} {
		answer, err := hello(t.Context(), events.APIGatewayV2HTTPRequest{RouteKey: route, PathParameters: map[string]string{"name": "you"}})
		if err != nil || answer.StatusCode != want.status || answer.Body != want.body {
			t.Errorf("%s: %d %s, %v", route, answer.StatusCode, answer.Body, err)
		}
	}
}
