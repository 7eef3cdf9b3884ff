// Command hello is an AWS Lambda function behind an HTTP API: it greets,
// counts visits in PostgreSQL, and has one door that wants a key. Nothing in
// it knows that it runs in several regions.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/jackc/pgx/v5/pgxpool"
)

type fields = map[string]any

func main() {
	db, err := pgxpool.New(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatalf("open the database: %v", err)
	}
	defer db.Close()
	lambda.Start(handler(db, os.Getenv("AWS_REGION")))
}

// handler returns the function itself. It is safe for parallel invocations.
func handler(db *pgxpool.Pool, region string) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		switch r.RouteKey {
		case "GET /":
			return answer(http.StatusOK, fields{"what": "hello, in " + region, "try": []string{"GET /hello/you", "GET /visits", "POST /visits", "GET /private"}})
		case "GET /hello/{name}":
			return answer(http.StatusOK, fields{"hello": r.PathParameters["name"], "region": region})
		case "GET /private":
			return answer(http.StatusOK, fields{"welcome": "you have a key", "region": region})
		case "GET /visits":
			return count(ctx, db, http.StatusOK, `select total from visits`, region)
		case "POST /visits":
			return count(ctx, db, http.StatusCreated, `update visits set total = total + 1 returning total`, region)
		}
		return answer(http.StatusNotFound, fields{"message": "Not Found"})
	}
}

func count(ctx context.Context, db *pgxpool.Pool, status int, sql, region string) (events.APIGatewayV2HTTPResponse, error) {
	var total int64
	if err := db.QueryRow(ctx, sql).Scan(&total); err != nil {
		log.Printf("count visits: %v", err)
		return answer(http.StatusInternalServerError, fields{"message": "the count is not available now"})
	}
	return answer(status, fields{"visits": total, "region": region})
}

func answer(status int, body fields) (events.APIGatewayV2HTTPResponse, error) {
	text, err := json.Marshal(body)
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers:    map[string]string{"content-type": "application/json"},
		Body:       string(text),
	}, err
}
