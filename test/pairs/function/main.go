// Command function is the AWS Lambda function of the pairs' world: it writes a
// number under another, once or with POST three times, and reads it again. It
// knows of no region.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/jackc/pgx/v5"
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
	cfg.MaxConns = 8 // of each process: the sessions of the other pairs want some, too
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
	if r.RouteKey == "GET /pairs/{id}" {
		return read(ctx, db, id)
	}
	v, err := strconv.ParseInt(r.Body, 10, 64)
	if err != nil {
		return response{StatusCode: http.StatusBadRequest, Body: "body: want a number"}, nil
	}
	times := 1
	if r.RouteKey == "POST /pairs/{id}" {
		times = 3
	}
	for range times {
		if _, err := db.Exec(ctx, `insert into pairs values ($1, $2) on conflict (id) do update set v = excluded.v`, id, v); err != nil {
			return response{}, err
		}
	}
	return response{StatusCode: http.StatusOK}, nil
}

func read(ctx context.Context, db *pgxpool.Pool, id int64) (response, error) {
	var v int64
	err := db.QueryRow(ctx, `select v from pairs where id = $1`, id).Scan(&v)
	if errors.Is(err, pgx.ErrNoRows) {
		return response{StatusCode: http.StatusNotFound}, nil
	}
	return response{StatusCode: http.StatusOK, Body: strconv.FormatInt(v, 10)}, err
}
