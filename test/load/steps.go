package main

import (
	"context"
	"crypto/rand"
	"errors"
	random "math/rand/v2"
	"net/http"
	"strings"
)

type object = map[string]any

// mix is how often each step is taken, in parts of the whole.
var mix = []struct {
	weight int
	do     func(*caller, context.Context)
}{
	{22, (*caller).list},
	{10, (*caller).feed},
	{8, (*caller).tags},
	{20, (*caller).read},
	{5, (*caller).login},
	{10, (*caller).publish},
	{10, (*caller).edit},
	{10, (*caller).favorite},
	{5, (*caller).comment},
}

// step takes one step of the mix. A caller without an article publishes one;
// one who does not know what was done begins anew, as another user.
func (c *caller) step(ctx context.Context) {
	if c.unsure {
		c.unsure, c.posts = false, nil
		if c.register(ctx, random.IntN(len(c.doors))) != nil {
			c.unsure = true
		}
		return
	}
	if len(c.posts) == 0 {
		c.publish(ctx)
		return
	}
	whole := 0
	for _, m := range mix {
		whole += m.weight
	}
	pick := random.IntN(whole)
	for _, m := range mix {
		if pick -= m.weight; pick < 0 {
			m.do(c, ctx)
			return
		}
	}
}

// register makes the caller's user. Without it there is nothing to measure.
func (c *caller) register(ctx context.Context, at int) error {
	c.name = "load-" + strings.ToLower(rand.Text()[:14])
	a := c.ask(ctx, at, "register", http.StatusCreated, "POST", "/api/users", object{"user": object{
		"username": c.name, "email": c.name + "@example.test", "password": c.name}})
	if a == nil {
		return errors.Join(errors.New("a user cannot be registered at "+c.names[at]), c.report.last())
	}
	c.token = a.Text("user.token")
	return nil
}

func (c *caller) login(ctx context.Context) {
	at := random.IntN(len(c.doors))
	a := c.ask(ctx, at, "login", http.StatusOK, "POST", "/api/users/login", object{"user": object{
		"email": c.name + "@example.test", "password": c.name}})
	c.expect(at, "login", a, "user.username", c.name)
}

func (c *caller) list(ctx context.Context) {
	at := random.IntN(len(c.doors))
	a := c.ask(ctx, at, "list", http.StatusOK, "GET", "/api/articles?limit=10&author="+c.name, nil)
	c.expect(at, "list", a, "articlesCount", float64(len(c.posts)))
	c.expect(at, "list", a, "articles.0.slug", c.posts[len(c.posts)-1].slug)
}

func (c *caller) feed(ctx context.Context) {
	at := random.IntN(len(c.doors))
	a := c.ask(ctx, at, "feed", http.StatusOK, "GET", "/api/articles/feed", nil)
	c.expect(at, "feed", a, "articlesCount", 0.0)
}

func (c *caller) tags(ctx context.Context) {
	c.ask(ctx, random.IntN(len(c.doors)), "tags", http.StatusOK, "GET", "/api/tags", nil)
}

func (c *caller) read(ctx context.Context) {
	c.check(ctx, random.IntN(len(c.doors)), &c.posts[random.IntN(len(c.posts))])
}

// check reads an article and compares it with what the caller did to it.
func (c *caller) check(ctx context.Context, at int, p *post) {
	a := c.ask(ctx, at, "read", http.StatusOK, "GET", "/api/articles/"+p.slug, nil)
	c.expect(at, "read", a, "article.body", p.body)
	c.expect(at, "read", a, "article.favorited", p.favorited)
}

func (c *caller) publish(ctx context.Context) {
	write, read := c.two()
	p := post{body: rand.Text()}
	a := c.ask(ctx, write, "publish", http.StatusCreated, "POST", "/api/articles", object{"article": object{
		"title": "Load " + rand.Text(), "description": "load", "body": p.body, "tagList": []string{"load"}}})
	if a == nil {
		return
	}
	p.slug = a.Text("article.slug")
	c.posts = append(c.posts, p)
	c.check(ctx, read, &p)
	if len(c.posts) > keptPosts {
		c.remove(ctx)
	}
}

// remove deletes the oldest article, and looks elsewhere that it is gone.
func (c *caller) remove(ctx context.Context) {
	write, read := c.two()
	path := "/api/articles/" + c.posts[0].slug
	if c.ask(ctx, write, "delete", http.StatusNoContent, "DELETE", path, nil) == nil {
		return
	}
	c.posts = c.posts[1:]
	c.ask(ctx, read, "read-gone", http.StatusNotFound, "GET", path, nil)
}

func (c *caller) edit(ctx context.Context) {
	write, read := c.two()
	p := &c.posts[random.IntN(len(c.posts))]
	body := rand.Text()
	if c.ask(ctx, write, "edit", http.StatusOK, "PUT", "/api/articles/"+p.slug, object{"article": object{"body": body}}) == nil {
		return
	}
	p.body = body
	c.check(ctx, read, p)
}

func (c *caller) favorite(ctx context.Context) {
	write, read := c.two()
	p := &c.posts[random.IntN(len(c.posts))]
	method, op := "POST", "favorite"
	if p.favorited {
		method, op = "DELETE", "unfavorite"
	}
	a := c.ask(ctx, write, op, http.StatusOK, method, "/api/articles/"+p.slug+"/favorite", nil)
	if a == nil {
		return
	}
	p.favorited = !p.favorited
	c.expect(write, op, a, "article.favorited", p.favorited)
	c.check(ctx, read, p)
}

func (c *caller) comment(ctx context.Context) {
	write, read := c.two()
	p := &c.posts[random.IntN(len(c.posts))]
	path, text := "/api/articles/"+p.slug+"/comments", rand.Text()
	if c.ask(ctx, write, "comment", http.StatusCreated, "POST", path, object{"comment": object{"body": text}}) == nil {
		return
	}
	a := c.ask(ctx, read, "comments", http.StatusOK, "GET", path, nil)
	c.expect(read, "comments", a, "comments.0.body", text)
}
