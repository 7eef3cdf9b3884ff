package conduit_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/examples/conduit/internal/auth"
	suite "meridian/test/conduit"
)

func ask(t *testing.T, c *suite.Client, method, path string, body any) *suite.Answer {
	t.Helper()
	a, err := c.Do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tokenOf names a user as the functions do. There may be no such user.
func tokenOf(t *testing.T, user int64) string {
	t.Helper()
	tokens, err := auth.NewTokens(strings.Repeat("s", 32))
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Issue(user, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestDatabaseAwayIsA503ThatSaysSo(t *testing.T) {
	client := serve(t, apps(t, "postgres://conduit@/postgres?host="+t.TempDir()), nil)().As(tokenOf(t, 1))
	for _, op := range [][2]string{{"GET", "/api/tags"}, {"GET", "/api/articles"}, {"GET", "/api/user"}, {"POST", "/api/articles/x/favorite"}} {
		a := ask(t, client, op[0], op[1], nil)
		if a.Status != http.StatusServiceUnavailable || a.Text("errors.database.0") != "is unavailable" {
			t.Errorf("%v", a)
		}
	}
}

// TestATokenOutlivesItsUserAndNamesNobody: whoever is gone is refused like a
// stranger, whatever the operation, and leaves nothing behind.
func TestATokenOutlivesItsUserAndNamesNobody(t *testing.T) {
	t.Parallel()
	client := serve(t, apps(t, database(t)), nil)
	made := ask(t, client(), "POST", "/api/users", map[string]any{"user": map[string]string{
		"username": "here", "email": "here@example.test", "password": "pa55word"}})
	here, gone := client().As(made.Text("user.token")), client().As(tokenOf(t, 1<<40))
	article := map[string]any{"article": map[string]string{"title": "Here", "description": "d", "body": "b"}}
	comment := map[string]any{"comment": map[string]string{"body": "b"}}
	ask(t, here, "POST", "/api/articles", article)
	for _, op := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/api/user", nil},
		{"PUT", "/api/user", map[string]any{"user": map[string]string{"bio": "b"}}},
		{"POST", "/api/profiles/here/follow", nil},
		{"DELETE", "/api/profiles/here/follow", nil},
		{"POST", "/api/articles", article},
		{"PUT", "/api/articles/here", article},
		{"DELETE", "/api/articles/here", nil},
		{"POST", "/api/articles/here/favorite", nil},
		{"DELETE", "/api/articles/here/favorite", nil},
		{"POST", "/api/articles/here/comments", comment},
	} {
		a := ask(t, gone, op.method, op.path, op.body)
		if a.Status != http.StatusUnauthorized || a.Text("errors.token.0") != "is invalid" {
			t.Errorf("%v", a)
		}
	}
	if a := ask(t, here, "GET", "/api/articles/here", nil); a.Status != http.StatusOK || a.Text("article.body") != "b" {
		t.Errorf("%v", a)
	}
}

func TestTextThatTheDatabaseCannotHoldIsA422(t *testing.T) {
	t.Parallel()
	client := serve(t, apps(t, database(t)), nil)
	zero := map[string]any{"user": map[string]string{"username": "a\x00b", "email": "zero@example.test", "password": "pa55word"}}
	for _, a := range []*suite.Answer{
		ask(t, client(), "POST", "/api/users", zero),
		ask(t, client(), "GET", "/api/articles?tag=%00", nil),
		ask(t, client(), "GET", "/api/profiles/%ff", nil),
	} {
		if a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%v", a)
		}
	}
}
