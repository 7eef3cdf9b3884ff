package web

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/jackc/pgx/v5/pgconn"
)

func serve(t *testing.T, access Access, do Handler, e events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	t.Helper()
	app := &App{
		Routes: map[string]Route{"GET /x": {access, do}},
		Identify: func(token string) (int64, error) {
			if token != "good" {
				return 0, errors.New("forged")
			}
			return 7, nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
	e.RouteKey = "GET /x"
	answer, err := app.Serve(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestAccessDecidesWhatACredentialMeans(t *testing.T) {
	viewer := func(_ context.Context, r *Request) (int, any, error) { return 200, r.Viewer, nil }
	for _, test := range []struct {
		access Access
		header string
		want   string
	}{
		{Public, "Token bad", "200 0"},
		{Optional, "", "200 0"},
		{Optional, "Token good", "200 7"},
		{Optional, "Token bad", `401 {"errors":{"token":["is invalid"]}}`},
		{Lenient, "Token good", "200 7"},
		{Lenient, "Token bad", "200 0"},
		{Required, "", `401 {"errors":{"token":["is missing"]}}`},
		{Required, "Basic good", `401 {"errors":{"token":["is missing"]}}`},
		{Required, "Token ", `401 {"errors":{"token":["is missing"]}}`},
		{Required, "Token good", "200 7"},
		{Required, "bearer  good", "200 7"},
		{Required, "Token bad", `401 {"errors":{"token":["is invalid"]}}`},
	} {
		a := serve(t, test.access, viewer, events.APIGatewayV2HTTPRequest{Headers: map[string]string{"authorization": test.header}})
		if got := fmt.Sprint(a.StatusCode, " ", a.Body); got != test.want {
			t.Errorf("access %d with %q: %s, want %s", test.access, test.header, got, test.want)
		}
	}
}

func TestFailuresOfTheDatabaseAreNamedAndNotQuoted(t *testing.T) {
	pg := func(code string) error {
		return fmt.Errorf("read tags: %w", &pgconn.PgError{Code: code, Message: "select secret"})
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{pg("08006"), `503 {"errors":{"database":["is unavailable"]}}`},
		{pg("57P01"), `503 {"errors":{"database":["is unavailable"]}}`},
		{pg("53300"), `503 {"errors":{"database":["is unavailable"]}}`},
		{pg("25006"), `503 {"errors":{"database":["is unavailable"]}}`},
		{pg("57014"), `504 {"errors":{"server":["ran out of time"]}}`},
		{pg("22021"), `422 {"errors":{"body":["is invalid"]}}`},
		{pg("42703"), `500 {"errors":{"server":["failed"]}}`},
		{pg(""), `500 {"errors":{"server":["failed"]}}`},
		{io.ErrUnexpectedEOF, `503 {"errors":{"database":["is unavailable"]}}`},
		{context.DeadlineExceeded, `504 {"errors":{"server":["ran out of time"]}}`},
		{errors.New("select secret"), `500 {"errors":{"server":["failed"]}}`},
		{fmt.Errorf("wrapped: %w", NotFound("article")), `404 {"errors":{"article":["not found"]}}`},
	} {
		a := serve(t, Public, func(context.Context, *Request) (int, any, error) { return 0, nil, test.err }, events.APIGatewayV2HTTPRequest{})
		if got := fmt.Sprint(a.StatusCode, " ", a.Body); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

func TestInputIsCheckedWholeAndFromAnyEncoding(t *testing.T) {
	do := func(_ context.Context, r *Request) (int, any, error) {
		var in struct {
			Title Opt[string]   `json:"title"`
			Bio   Opt[string]   `json:"bio"`
			Tags  Opt[[]string] `json:"tags"`
		}
		if err := Decode(r, "in", &in); err != nil {
			return 0, nil, err
		}
		var check Check
		check.Required("title", in.Title)
		change, bio := check.Nullable("bio", in.Bio)
		if in.Tags.Bad {
			check.Fail("tags", "is invalid")
		}
		return 200, []any{change, bio}, check.Err()
	}
	for body, want := range map[string]string{
		`{"in":{"title":"t"}}`:                        `200 [false,null]`,
		`{"in":{"title":"t","bio":""}}`:               `200 [true,null]`,
		`{"in":{"title":"t","bio":null}}`:             `200 [true,null]`,
		`{"in":{"title":"t","bio":"b"}}`:              `200 [true,"b"]`,
		`{"in":{"title":" ","bio":1,"tags":["a",1]}}`: `422 {"errors":{"bio":["is invalid"],"tags":["is invalid"],"title":["can't be blank"]}}`,
		`{"in":{"title":["t"]}}`:                      `422 {"errors":{"title":["is invalid"]}}`,
		`{"in":[]}`:                                   `422 {"errors":{"in":["is invalid"]}}`,
		`{"in":null}`:                                 `422 {"errors":{"title":["can't be blank"]}}`,
		`{}`:                                          `422 {"errors":{"title":["can't be blank"]}}`,
		``:                                            `422 {"errors":{"title":["can't be blank"]}}`,
		`[1`:                                          `422 {"errors":{"body":["is invalid"]}}`,
	} {
		for _, e := range []events.APIGatewayV2HTTPRequest{
			{Body: body},
			{Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true},
		} {
			a := serve(t, Public, do, e)
			if got := fmt.Sprint(a.StatusCode, " ", a.Body); got != want {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
	}
}

func TestNumbersOfAQueryHaveBounds(t *testing.T) {
	for text, want := range map[string]int{"": 20, "1": 1, "7": 7, "99": 50, "999999999999999999999": 50, "0": -1, "-3": -1, "x": -1, "1,2": -1, "-999999999999999999999": -1} {
		var check Check
		got := check.Number(&Request{event: events.APIGatewayV2HTTPRequest{QueryStringParameters: map[string]string{"limit": text}}}, "limit", 1, 50, 20)
		if check.Err() != nil {
			got = -1
		}
		if got != want {
			t.Errorf("limit=%s is %d, want %d", text, got, want)
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add(`{"in":{"title":"t"}}`, "Token good", false)
	f.Add("!", "Bearer", true)
	f.Fuzz(func(t *testing.T, body, header string, encoded bool) {
		a := serve(t, Optional, func(_ context.Context, r *Request) (int, any, error) {
			var in struct{ Title Opt[string] }
			return 200, in, Decode(r, "in", &in)
		}, events.APIGatewayV2HTTPRequest{Body: body, IsBase64Encoded: encoded, Headers: map[string]string{"authorization": header}})
		if a.StatusCode != 200 && a.StatusCode != 401 && a.StatusCode != 422 {
			t.Errorf("status %d", a.StatusCode)
		}
	})
}
