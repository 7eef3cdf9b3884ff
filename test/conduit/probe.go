package conduit

import (
	"context"
	"crypto/rand"
	"reflect"
	"regexp"
	"strings"
)

// A T is what a check reports to: a *testing.T, or a recorder. Fatalf does not
// return.
type T interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// A probe is one check at work: it asks, and fails at the first answer that is
// not as specified.
type probe struct {
	T
	client func() *Client
}

// reply is an answer under examination. Its methods return it, so that what is
// wanted of an answer reads as one sentence.
type reply struct {
	p *probe
	*Answer
}

type object = map[string]any

func (p *probe) do(c *Client, method, path string, body any) *reply {
	p.Helper()
	a, err := c.Do(p.Context(), method, path, body)
	if err != nil {
		p.Fatalf("%s %s: %v", method, path, err)
	}
	return &reply{p, a}
}

func (r *reply) want(status int) *reply {
	r.p.Helper()
	if r.Status != status {
		r.p.Fatalf("%v, want %d", r.Answer, status)
	}
	if len(r.Body) > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		r.p.Fatalf("%v with content type %q", r.Answer, r.Header.Get("Content-Type"))
	}
	return r
}

// refused wants an error answer whose first text about key is given.
func (r *reply) refused(status int, key, text string) *reply {
	r.p.Helper()
	return r.want(status).is("errors."+key+".0", text)
}

// is wants the value at a path. Numbers may be given as int.
func (r *reply) is(path string, want any) *reply {
	r.p.Helper()
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	got, ok := r.Get(path)
	if !ok || !reflect.DeepEqual(got, want) {
		r.p.Fatalf("%v: %s is %v, want %v", r.Answer, path, got, want)
	}
	return r
}

func (r *reply) absent(path string) *reply {
	r.p.Helper()
	if v, ok := r.Get(path); ok {
		r.p.Fatalf("%v: %s is there: %v", r.Answer, path, v)
	}
	return r
}

// list wants a list of n elements at a path.
func (r *reply) list(path string, n int) *reply {
	r.p.Helper()
	v, _ := r.Get(path)
	if list, ok := v.([]any); !ok || len(list) != n {
		r.p.Fatalf("%v: %s is not a list of %d", r.Answer, path, n)
	}
	return r
}

// holds wants a list at a path with this element.
func (r *reply) holds(path string, want any) *reply {
	r.p.Helper()
	v, _ := r.Get(path)
	list, _ := v.([]any)
	for _, got := range list {
		if reflect.DeepEqual(got, want) {
			return r
		}
	}
	r.p.Fatalf("%v: %s does not hold %v", r.Answer, path, want)
	return r
}

var instant = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

func (r *reply) instants(paths ...string) *reply {
	r.p.Helper()
	for _, path := range paths {
		if !instant.MatchString(r.Text(path)) {
			r.p.Fatalf("%v: %s is no ISO 8601 instant in UTC", r.Answer, path)
		}
	}
	return r
}

// A person is a user whom a check has made.
type person struct {
	*Client
	name, email, password string
}

// word returns a name that nothing in the world has yet.
func word(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

func (p *probe) person() *person {
	p.Helper()
	name := word("u")
	u := &person{name: name, email: name + "@example.test", password: "pa55 word " + name}
	r := p.do(p.client(), "POST", "/api/users", object{"user": object{
		"username": u.name, "email": u.email, "password": u.password}}).want(201)
	u.Client = p.client().As(r.Text("user.token"))
	return u
}

// article publishes an article with these tags and returns its slug.
func (p *probe) article(by *person, tags ...string) (slug string) {
	p.Helper()
	return p.publish(by, word("On "), tags...).Text("article.slug")
}

func (p *probe) publish(by *person, title string, tags ...string) *reply {
	p.Helper()
	return p.do(by.Client, "POST", "/api/articles", object{"article": object{
		"title": title, "description": "what it is about", "body": "what it says", "tagList": append([]string{}, tags...)}}).want(201)
}
