// Command slow is a function that reads, thinks for as long as its body says, and
// writes at its end.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	db, err := pgxpool.New(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatalf("open the database: %v", err)
	}
	defer db.Close()
	region := os.Getenv("AWS_REGION")
	lambda.Start(func(ctx context.Context, r events.APIGatewayV2HTTPRequest) (out events.APIGatewayV2HTTPResponse, err error) {
		body := []byte(r.Body)
		if r.IsBase64Encoded {
			if body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
				return out, err
			}
		}
		think, err := time.ParseDuration(string(body))
		if err != nil {
			return out, err
		}
		n := 0
		if err := db.QueryRow(ctx, "select count(*) from orders").Scan(&n); err != nil {
			return out, err
		}
		log.Printf("thinking for %v, after %d orders", think, n)
		time.Sleep(think)
		if _, err := db.Exec(ctx, "insert into orders values ($1)", region); err != nil {
			return out, err
		}
		if err := db.QueryRow(ctx, "select count(*) from orders").Scan(&n); err != nil {
			return out, err
		}
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusCreated, Body: fmt.Sprintf(`{"visits":%d}`, n)}, nil
	})
}
