// Command function is the AWS Lambda function of a world whose nodes are
// restarted: it enters a number into a ledger, and counts how often that is
// there. A number that is entered twice stands there twice.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/jackc/pgx/v5/pgxpool"
)

type (
	request  = events.APIGatewayV2HTTPRequest
	response = events.APIGatewayV2HTTPResponse
)

func main() {
	cfg, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatalf("read DATABASE_URL: %v", err)
	}
	cfg.MaxConns = 16
	db, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		log.Fatalf("open the database: %v", err)
	}
	defer db.Close()
	lambda.Start(func(ctx context.Context, r request) (response, error) { return serve(ctx, db, r) })
}

func serve(ctx context.Context, db *pgxpool.Pool, r request) (response, error) {
	id, err := strconv.ParseInt(r.PathParameters["id"], 10, 64)
	if err != nil {
		return response{StatusCode: http.StatusBadRequest, Body: "id: want a number"}, nil
	}
	if r.RouteKey == "POST /entries/{id}" {
		if _, err := db.Exec(ctx, `insert into entries values ($1)`, id); err != nil {
			return response{}, err
		}
		return response{StatusCode: http.StatusCreated}, nil
	}
	var n int64
	if err := db.QueryRow(ctx, `select count(*) from entries where id = $1`, id).Scan(&n); err != nil {
		return response{}, err
	}
	return response{StatusCode: http.StatusOK, Body: strconv.FormatInt(n, 10)}, nil
}
