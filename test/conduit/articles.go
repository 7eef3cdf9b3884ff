package conduit

import "net/url"

func checkArticle(p *probe) {
	u := p.person()
	title, tags := word("How to train your "), []string{word("z"), word("a")}
	made := p.publish(u, title, tags...).
		is("article.title", title).is("article.description", "what it is about").is("article.body", "what it says").
		is("article.tagList", []any{tags[0], tags[1]}).is("article.favorited", false).is("article.favoritesCount", 0).
		is("article.author.username", u.name).is("article.author.following", false).
		is("article.author.bio", nil).is("article.author.image", nil).
		instants("article.createdAt", "article.updatedAt")
	path := "/api/articles/" + made.Text("article.slug")
	p.do(p.client(), "GET", path, nil).want(200).is("article", made.value.(object)["article"])

	changed := p.do(u.Client, "PUT", path, object{"article": object{"body": "what it says now"}}).want(200).
		is("article.body", "what it says now").is("article.title", title).is("article.description", "what it is about").
		is("article.slug", made.Text("article.slug")).is("article.createdAt", made.Text("article.createdAt"))
	if changed.Text("article.updatedAt") == made.Text("article.updatedAt") {
		p.Fatalf("%v: updatedAt has not moved", changed.Answer)
	}
	p.do(p.client(), "GET", path, nil).want(200).is("article.body", "what it says now")

	if gone := p.do(u.Client, "DELETE", path, nil).want(204); len(gone.Body) > 0 {
		p.Fatalf("%v with a body", gone.Answer)
	}
	if len(p.do(u.Client, "GET", path, nil).refused(404, "article", "not found").Body) == 0 {
		p.Fatalf("a 404 without a body")
	}
}

// checkNewTitle wants the address to say what stands there, and everything else
// to stay.
func checkNewTitle(p *probe) {
	u, fan := p.person(), p.person()
	old, tag := word("Before "), word("t")
	slug := p.publish(u, old, tag).Text("article.slug")
	p.do(fan.Client, "POST", "/api/articles/"+slug+"/favorite", nil).want(200)
	p.comment(fan, slug, "as before").want(201)
	same := p.do(u.Client, "PUT", "/api/articles/"+slug, object{"article": object{"title": old}}).want(200)
	same.is("article.slug", slug)

	title := word("After ")
	changed := p.do(u.Client, "PUT", "/api/articles/"+slug, object{"article": object{"title": title}}).want(200).
		is("article.title", title).is("article.body", "what it says").is("article.tagList", []any{tag}).is("article.favoritesCount", 1)
	path := "/api/articles/" + changed.Text("article.slug")
	if path == "/api/articles/"+slug {
		p.Fatalf("%v: the slug has not moved", changed.Answer)
	}
	p.do(p.client(), "GET", "/api/articles/"+slug, nil).refused(404, "article", "not found")
	p.do(p.client(), "GET", path, nil).want(200).is("article", changed.value.(object)["article"])
	p.do(p.client(), "GET", path+"/comments", nil).want(200).list("comments", 1).is("comments.0.body", "as before")
}

func checkArticleTags(p *probe) {
	u := p.person()
	tag := word("t")
	path := "/api/articles/" + p.article(u, tag, word("t"))
	put := func(fields object) *reply {
		p.Helper()
		return p.do(u.Client, "PUT", path, object{"article": fields})
	}
	put(object{"body": "other"}).want(200).list("article.tagList", 2).is("article.tagList.0", tag)
	put(object{"tagList": nil}).want(422)
	put(object{"tagList": []string{"x", tag}}).want(200).is("article.tagList", []any{"x", tag}).is("article.body", "other")
	put(object{"tagList": []string{}}).want(200).list("article.tagList", 0)
	p.do(p.client(), "GET", path, nil).want(200).list("article.tagList", 0)
	p.do(u.Client, "POST", "/api/articles", object{"article": object{"title": "t", "description": "d", "body": "b"}}).
		want(201).list("article.tagList", 0)
}

func checkArticleRefused(p *probe) {
	u := p.person()
	path := "/api/articles/" + p.article(u)
	for _, key := range []string{"title", "description", "body"} {
		fields := object{"title": "t", "description": "d", "body": "b"}
		fields[key] = ""
		p.do(u.Client, "POST", "/api/articles", object{"article": fields}).refused(422, key, blank)
		delete(fields, key)
		p.do(u.Client, "POST", "/api/articles", object{"article": fields}).refused(422, key, blank)
		p.do(u.Client, "PUT", path, object{"article": object{key: ""}}).refused(422, key, blank)
	}
	p.do(u.Client, "POST", "/api/articles", nil).refused(422, "title", blank)
}

func checkSlugs(p *probe) {
	u, other := p.person(), p.person()
	title := word("The same ")
	slugs := map[string]bool{}
	for _, by := range []*person{u, u, other} {
		slug := p.publish(by, title).Text("article.slug")
		if slug == "" || slug != url.PathEscape(slug) || slugs[slug] {
			p.Fatalf("slug %q is empty, unfit for an address, or given before", slug)
		}
		slugs[slug] = true
	}
	for _, title := range []string{"Feed", "日本", "…"} {
		r := p.publish(u, title)
		p.do(p.client(), "GET", "/api/articles/"+r.Text("article.slug"), nil).want(200).is("article.title", title)
	}
}

func checkLists(p *probe) {
	u, fan := p.person(), p.person()
	tag := word("t")
	slug := p.article(u, "common", tag)
	p.article(fan, "common")
	p.do(fan.Client, "POST", "/api/articles/"+slug+"/favorite", nil).want(200)
	only := func(c *Client, query string, favorited bool) {
		p.Helper()
		p.do(c, "GET", "/api/articles?"+query, nil).want(200).is("articlesCount", 1).list("articles", 1).
			is("articles.0.slug", slug).is("articles.0.author.username", u.name).absent("articles.0.body").
			is("articles.0.description", "what it is about").is("articles.0.tagList", []any{"common", tag}).
			is("articles.0.favorited", favorited).is("articles.0.favoritesCount", 1).
			instants("articles.0.createdAt", "articles.0.updatedAt")
	}
	for _, query := range []string{"tag=" + tag, "author=" + u.name, "favorited=" + fan.name, "tag=common&author=" + u.name + "&favorited=" + fan.name} {
		only(p.client(), query, false)
		only(fan.Client, query, true)
	}
	p.do(p.client(), "GET", "/api/articles", nil).want(200).absent("articles.0.body")
	for _, query := range []string{"tag=" + word("t"), "author=" + word("u"), "favorited=" + u.name} {
		p.do(p.client(), "GET", "/api/articles?"+query, nil).want(200).is("articlesCount", 0).list("articles", 0)
	}
}

func checkPages(p *probe) {
	u := p.person()
	slugs := []string{p.article(u), p.article(u), p.article(u)}
	page := func(query string) *reply {
		p.Helper()
		return p.do(p.client(), "GET", "/api/articles?author="+u.name+query, nil)
	}
	page("").want(200).is("articlesCount", 3).list("articles", 3).is("articles.0.slug", slugs[2]).is("articles.2.slug", slugs[0])
	page("&limit=1").want(200).is("articlesCount", 3).list("articles", 1).is("articles.0.slug", slugs[2])
	page("&limit=1&offset=1").want(200).is("articlesCount", 3).list("articles", 1).is("articles.0.slug", slugs[1])
	page("&limit=5&offset=3").want(200).is("articlesCount", 3).list("articles", 0)
	for _, query := range []string{"limit=0", "limit=x", "offset=-1"} {
		page("&" + query).want(422)
	}
}

func checkFeed(p *probe) {
	u, star, other := p.person(), p.person(), p.person()
	feed := func(query string) *reply {
		p.Helper()
		return p.do(u.Client, "GET", "/api/articles/feed"+query, nil).want(200)
	}
	feed("").is("articlesCount", 0).list("articles", 0)
	p.do(u.Client, "POST", "/api/profiles/"+star.name+"/follow", nil).want(200)
	p.article(other)
	first, second := p.article(star), p.article(star)
	feed("").is("articlesCount", 2).list("articles", 2).is("articles.0.slug", second).is("articles.1.slug", first).
		absent("articles.0.body").is("articles.0.author.username", star.name).is("articles.0.author.following", true)
	feed("?limit=1").is("articlesCount", 2).list("articles", 1).is("articles.0.slug", second)
	feed("?limit=1&offset=1").is("articlesCount", 2).list("articles", 1).is("articles.0.slug", first)
	p.do(u.Client, "DELETE", "/api/profiles/"+star.name+"/follow", nil).want(200)
	feed("").is("articlesCount", 0).list("articles", 0)
}

func checkTags(p *probe) {
	u := p.person()
	tags := []string{word("t"), word("t")}
	p.article(u, tags...)
	p.do(p.client(), "GET", "/api/tags", nil).want(200).holds("tags", tags[0]).holds("tags", tags[1])
}
