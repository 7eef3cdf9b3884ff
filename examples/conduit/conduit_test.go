// Package conduit_test runs the functions behind a small HTTP server in place
// of a gateway, with a PostgreSQL of its own: what fails here is the example's
// fault, and not Meridian's.
package conduit_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.yaml.in/yaml/v3"

	"meridian/examples/conduit/internal/articles"
	"meridian/examples/conduit/internal/auth"
	"meridian/examples/conduit/internal/users"
	"meridian/examples/conduit/internal/web"
	suite "meridian/test/conduit"
)

// apps returns the two functions as their mains build them.
func apps(t *testing.T, url string) map[string]*web.App {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	tokens, err := auth.NewTokens(strings.Repeat("s", 32))
	if err != nil {
		t.Fatal(err)
	}
	passwords, err := auth.NewPasswords()
	if err != nil {
		t.Fatal(err)
	}
	app := func(routes map[string]web.Route) *web.App {
		return &web.App{Routes: routes, Identify: tokens.User, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	}
	return map[string]*web.App{
		"users":    app((&users.Service{DB: pool, Tokens: tokens, Passwords: passwords}).Routes()),
		"articles": app((&articles.Service{DB: pool}).Routes()),
	}
}

// serve puts the functions behind an address.
func serve(t *testing.T, apps map[string]*web.App, change func(string, *events.APIGatewayV2HTTPResponse)) func() *suite.Client {
	t.Helper()
	server := httptest.NewServer(handler(t, apps, change))
	t.Cleanup(server.Close)
	return func() *suite.Client { return &suite.Client{Base: server.URL, HTTP: server.Client()} }
}

// handler stands in for the gateway. Patterns of http.ServeMux are written like
// route keys, and match like them. change may alter answers on their way back.
func handler(t *testing.T, apps map[string]*web.App, change func(string, *events.APIGatewayV2HTTPResponse)) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	for _, app := range apps {
		for key := range app.Routes {
			pattern := key
			if strings.HasSuffix(key, " /") {
				pattern += "{$}"
			}
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
				answer, err := app.Serve(r.Context(), event(key, r))
				if err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if change != nil {
					change(key, &answer)
				}
				for name, value := range answer.Headers {
					w.Header().Set(name, value)
				}
				w.WriteHeader(answer.StatusCode)
				io.WriteString(w, answer.Body)
			})
		}
	}
	return mux
}

// event is the part of payload format 2.0 that the functions read.
func event(key string, r *http.Request) events.APIGatewayV2HTTPRequest {
	body, _ := io.ReadAll(r.Body)
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: key, RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Body: string(body),
		Headers: map[string]string{}, QueryStringParameters: map[string]string{}, PathParameters: map[string]string{},
	}
	for name := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(r.Header[name], ",")
	}
	for name, values := range r.URL.Query() {
		e.QueryStringParameters[name] = strings.Join(values, ",")
	}
	for _, name := range []string{"slug", "username", "id"} {
		if value := r.PathValue(name); value != "" {
			e.PathParameters[name] = value
		}
	}
	return e
}

func TestSpecificationIsKeptTwiceInOneDatabase(t *testing.T) {
	t.Parallel()
	client := serve(t, apps(t, database(t)), nil)
	for _, run := range []string{"First", "Second"} {
		t.Run(run, func(t *testing.T) { suite.Suite(t, client) })
	}
	t.Run("Story", func(t *testing.T) { suite.Story(t, client(), client(), client()) })
}

// recorder notes that a check failed, instead of failing this test.
type recorder struct {
	*testing.T
	failed string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestSuiteNoticesBrokenRules is the suite's negative control: each rule is
// broken on the way back to the client, and its check must fail.
func TestSuiteNoticesBrokenRules(t *testing.T) {
	t.Parallel()
	type answer = events.APIGatewayV2HTTPResponse
	replace := func(old, new string) func(string, *answer) {
		return func(_ string, a *answer) { a.Body = strings.ReplaceAll(a.Body, old, new) }
	}
	status := func(old, new int) func(string, *answer) {
		return func(_ string, a *answer) {
			if a.StatusCode == old {
				a.StatusCode = new
			}
		}
	}
	broken := map[string]func(string, *answer){
		"RegisterLoginAndWhoAmI":                     status(201, 200),
		"RegistrationIsRefusedForBlankOrTakenNames":  status(409, 422),
		"LoginIsRefusedWithoutTheRightPassword":      status(401, 403),
		"EmptyBioAndImageBecomeNull":                 replace(`"bio":null`, `"bio":""`),
		"OperationsThatNeedACallerSayTokenIsMissing": replace("is missing", "is absent"),
		"ArticleIsPublishedReadChangedAndDeleted":    status(204, 200),
		"EitherSchemeNamesTheCaller":                 status(200, 401),
		"ANewTitleBringsANewSlug":                    replace(`"slug":"after-`, `"slug":"before-`),
		"EqualTitlesGetDistinctSlugs":                replace(`"slug":"`, `"slug":"/`),
		"ListsFilterByTagAuthorAndFavorite":          replace(`"description":"what`, `"body":"b","description":"what`),
		"FeedShowsWhomOneFollows":                    replace(`"following":true`, `"following":false`),
		"FavoritesCountEachUserOnce":                 replace(`"favoritesCount":1`, `"favoritesCount":2`),
		"ThingsOfOthersAreForbidden":                 status(403, 404),
		"ThingsThatAreNotThereAreNotFound":           replace(`{"errors":{"article"`, `{"errors":{"slug"`),
	}
	functions := apps(t, database(t))
	for _, check := range suite.Checks() {
		change := broken[check.Name]
		delete(broken, check.Name)
		if change == nil {
			continue
		}
		r := &recorder{T: t}
		client := serve(t, functions, change)
		var wait sync.WaitGroup
		wait.Go(func() { check.Run(r, client) })
		wait.Wait()
		if r.failed == "" {
			t.Errorf("%s passes though its rule is broken", check.Name)
		}
	}
	for name := range broken {
		t.Errorf("there is no check %s", name)
	}
}

// TestDescriptionNamesEveryRoute keeps openapi.yaml and the functions alike.
func TestDescriptionNamesEveryRoute(t *testing.T) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	described := map[string]string{} // route key -> function
	for path, operations := range file.Paths {
		for method, node := range operations {
			var operation struct {
				Function string `yaml:"x-meridian-function"`
			}
			if method == "parameters" {
				continue
			}
			if err := node.Decode(&operation); err != nil {
				t.Fatal(err)
			}
			described[strings.ToUpper(method)+" "+path] = operation.Function
		}
	}
	served := map[string]string{}
	for name, routes := range map[string]map[string]web.Route{"users": (&users.Service{}).Routes(), "articles": (&articles.Service{}).Routes()} {
		for key := range routes {
			served[key] = name
		}
	}
	if !maps.Equal(described, served) {
		t.Errorf("openapi.yaml describes %v\nthe functions serve %v", described, served)
	}
	if len(served) != 20 {
		t.Errorf("%d routes, want the 19 operations and GET /", len(served))
	}
}

// TestRacingTitlesAllGetAnArticle publishes one title many times at once: the
// plain slug has one winner, and nobody gets an error.
func TestRacingTitlesAllGetAnArticle(t *testing.T) {
	t.Parallel()
	client := serve(t, apps(t, database(t)), nil)
	ctx := context.Background()
	do := func(c *suite.Client, path string, body any) *suite.Answer {
		a, err := c.Do(ctx, "POST", path, body)
		if err != nil || a.Status != http.StatusCreated {
			t.Errorf("%v, %v", a, err)
		}
		return a
	}
	token := do(client(), "/api/users", map[string]any{"user": map[string]string{
		"username": "racer", "email": "racer@example.test", "password": "pa55word"}}).Text("user.token")
	const n = 24
	slugs := make([]string, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			slugs[i] = do(client().As(token), "/api/articles", map[string]any{"article": map[string]string{
				"title": "The race", "description": "d", "body": "b"}}).Text("article.slug")
		})
	}
	wait.Wait()
	distinct, plain := map[string]bool{}, 0
	for _, slug := range slugs {
		distinct[slug] = true
		if slug == "the-race" {
			plain++
		}
	}
	if len(distinct) != n || plain != 1 {
		t.Errorf("%d distinct slugs of %d, %d of them plain: %v", len(distinct), n, plain, slugs)
	}
}
