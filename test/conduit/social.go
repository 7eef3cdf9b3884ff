package conduit

import (
	"fmt"
	"math"
)

func (p *probe) comment(by *person, slug, text string) *reply {
	p.Helper()
	return p.do(by.Client, "POST", "/api/articles/"+slug+"/comments", object{"comment": object{"body": text}})
}

// commentPath is the address of a comment that was just made.
func (r *reply) commentPath(slug string) string {
	r.p.Helper()
	v, _ := r.Get("comment.id")
	id, ok := v.(float64)
	if !ok || id != math.Trunc(id) {
		r.p.Fatalf("%v: the id is no integer", r.Answer)
	}
	return fmt.Sprintf("/api/articles/%s/comments/%.0f", slug, id)
}

func checkComments(p *probe) {
	u, fan := p.person(), p.person()
	slug := p.article(u)
	list := func(c *Client, n int) *reply {
		p.Helper()
		return p.do(c, "GET", "/api/articles/"+slug+"/comments", nil).want(200).list("comments", n)
	}
	list(p.client(), 0)
	p.comment(fan, slug, "").refused(422, "body", blank)
	first := p.comment(fan, slug, "well said").want(201).is("comment.body", "well said").
		is("comment.author.username", fan.name).is("comment.author.following", false).is("comment.author.bio", nil).
		instants("comment.createdAt", "comment.updatedAt")
	list(p.client(), 1).is("comments.0", first.value.(object)["comment"])
	list(u.Client, 1).is("comments.0.body", "well said")
	p.do(u.Client, "POST", "/api/profiles/"+fan.name+"/follow", nil).want(200)
	list(u.Client, 1).is("comments.0.author.following", true)
	p.comment(fan, slug, "and again").want(201)
	list(p.client(), 2)
	p.do(fan.Client, "DELETE", first.commentPath(slug), nil).want(204)
	list(p.client(), 1).is("comments.0.body", "and again")
}

func checkFavorites(p *probe) {
	u, fan := p.person(), p.person()
	path := "/api/articles/" + p.article(u)
	counts := func(r *reply, favorited bool, n int) {
		p.Helper()
		r.want(200).is("article.favorited", favorited).is("article.favoritesCount", n).
			is("article.author.username", u.name).is("article.body", "what it says").list("article.tagList", 0)
	}
	counts(p.do(fan.Client, "POST", path+"/favorite", nil), true, 1)
	counts(p.do(fan.Client, "POST", path+"/favorite", nil), true, 1)
	counts(p.do(u.Client, "POST", path+"/favorite", nil), true, 2)
	counts(p.do(fan.Client, "GET", path, nil), true, 2)
	counts(p.do(p.client(), "GET", path, nil), false, 2)
	counts(p.do(fan.Client, "DELETE", path+"/favorite", nil), false, 1)
	counts(p.do(fan.Client, "DELETE", path+"/favorite", nil), false, 1)
	counts(p.do(u.Client, "GET", path, nil), true, 1)
}

func checkForbidden(p *probe) {
	u, other := p.person(), p.person()
	slug := p.article(u)
	path := "/api/articles/" + slug
	said := p.comment(u, slug, "mine").want(201)
	p.do(other.Client, "PUT", path, object{"article": object{"body": "taken over"}}).refused(403, "article", "forbidden")
	p.do(other.Client, "DELETE", path, nil).refused(403, "article", "forbidden")
	p.do(other.Client, "DELETE", said.commentPath(slug), nil).refused(403, "comment", "forbidden")
	p.do(p.client(), "GET", path, nil).want(200).is("article.body", "what it says")
	p.do(p.client(), "GET", path+"/comments", nil).want(200).list("comments", 1).is("comments.0.body", "mine")
}

func checkNotFound(p *probe) {
	u := p.person()
	profile, article := "/api/profiles/"+word("u"), "/api/articles/"+word("none-")
	p.do(p.client(), "GET", profile, nil).refused(404, "profile", "not found")
	p.do(u.Client, "POST", profile+"/follow", nil).refused(404, "profile", "not found")
	p.do(u.Client, "DELETE", profile+"/follow", nil).refused(404, "profile", "not found")
	p.do(p.client(), "GET", article, nil).refused(404, "article", "not found")
	p.do(u.Client, "PUT", article, object{"article": object{"body": "b"}}).refused(404, "article", "not found")
	p.do(u.Client, "DELETE", article, nil).refused(404, "article", "not found")
	p.do(u.Client, "POST", article+"/favorite", nil).refused(404, "article", "not found")
	p.do(u.Client, "DELETE", article+"/favorite", nil).refused(404, "article", "not found")
	p.do(p.client(), "GET", article+"/comments", nil).refused(404, "article", "not found")
	p.do(u.Client, "POST", article+"/comments", object{"comment": object{"body": "b"}}).refused(404, "article", "not found")
	p.do(u.Client, "DELETE", article+"/comments/1", nil).refused(404, "article", "not found")
	mine, others := p.article(u), p.article(u)
	said := p.comment(u, others, "elsewhere").want(201)
	p.do(u.Client, "DELETE", "/api/articles/"+mine+"/comments/999999999", nil).refused(404, "comment", "not found")
	p.do(u.Client, "DELETE", said.commentPath(mine), nil).refused(404, "comment", "not found")
}
