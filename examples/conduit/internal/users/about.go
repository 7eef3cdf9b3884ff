package users

import (
	"context"
	"net/http"

	"meridian/examples/conduit/internal/web"
)

type aboutAnswer struct {
	What string   `json:"what"`
	Try  []string `json:"try"`
}

// about is for whoever opens the address of the API without knowing it.
func about(context.Context, *web.Request) (int, any, error) {
	return http.StatusOK, aboutAnswer{
		What: "Conduit, the RealWorld API, in three regions behind one name",
		Try: []string{
			"GET /api/tags",
			"GET /api/articles?limit=5",
			`POST /api/users {"user": {"username": "you", "email": "you@example.test", "password": "a long one"}}`,
			`POST /api/articles, with "Authorization: Token ..." {"article": {"title": "Hi", "description": "A start", "body": "Text", "tagList": ["first"]}}`,
			"GET /api/articles/hi, at an edge on another continent",
		},
	}, nil
}
