// Command articles is the Lambda function of that name: see internal/articles.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"meridian/examples/conduit/internal/articles"
	"meridian/examples/conduit/internal/auth"
	"meridian/examples/conduit/internal/db"
	"meridian/examples/conduit/internal/web"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	app, err := newApp(context.Background(), log)
	if err != nil {
		log.Error("start", "err", err)
		os.Exit(1)
	}
	lambda.Start(app.Serve)
}

func newApp(ctx context.Context, log *slog.Logger) (*web.App, error) {
	tokens, err := auth.NewTokens(os.Getenv("JWT_SECRET"))
	if err != nil {
		return nil, err
	}
	pool, err := db.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	service := &articles.Service{DB: pool}
	return &web.App{Routes: service.Routes(), Identify: tokens.User, Log: log}, nil
}
