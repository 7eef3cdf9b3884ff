package conduit

import (
	"context"
	"fmt"
)

// Story is what a newcomer does: register at one door, write at a second, read
// at a third, with no wait between. The clients share a jar, as one browser
// would, and are nobody yet; Story returns the token of the user whom it made.
func Story(t T, register, write, read *Client) (token string) {
	t.Helper()
	p := &probe{t, func() *Client { return register }}
	u := p.person()
	write, read = write.As(u.Token), read.As(u.Token)

	p.do(write, "GET", "/api/user", nil).want(200).is("user.username", u.name)
	p.do(read, "PUT", "/api/user", object{"user": object{"bio": "I travel"}}).want(200)
	p.do(u.Client, "GET", "/api/profiles/"+u.name, nil).want(200).is("profile.bio", "I travel")

	title := word("From afar ")
	by := &person{Client: write, name: u.name}
	path := "/api/articles/" + p.publish(by, title, "travel").Text("article.slug")
	p.do(read, "GET", path, nil).want(200).is("article.title", title).is("article.author.bio", "I travel")
	p.do(read, "POST", path+"/favorite", nil).want(200).is("article.favoritesCount", 1)
	p.do(u.Client, "GET", path, nil).want(200).is("article.favorited", true).is("article.favoritesCount", 1)
	p.do(u.Client, "POST", path+"/comments", object{"comment": object{"body": "it was good"}}).want(201)
	p.do(read, "GET", path+"/comments", nil).want(200).list("comments", 1).is("comments.0.body", "it was good")
	p.do(write, "PUT", path, object{"article": object{"body": "second thoughts"}}).want(200)
	p.do(read, "GET", path, nil).want(200).is("article.body", "second thoughts")
	p.do(u.Client, "GET", "/api/articles?author="+u.name, nil).want(200).is("articlesCount", 1)
	p.do(read, "DELETE", path, nil).want(204)
	p.do(write, "GET", path, nil).refused(404, "article", "not found")
	return u.Token
}

// Pairs writes n times at one door and reads each write at another at once.
// It returns how many reads did not show the write. The clients are of one
// user; whether they share a jar is what the caller wants to find out.
func Pairs(ctx context.Context, write, read *Client, n int) (stale int, err error) {
	for i := range n {
		title := fmt.Sprintf("%s %d", word("Pair "), i)
		a, err := write.Do(ctx, "POST", "/api/articles", object{"article": object{"title": title, "description": "d", "body": "b"}})
		if err != nil {
			return stale, err
		}
		if a.Status != 201 {
			return stale, fmt.Errorf("write %d: %v", i, a)
		}
		b, err := read.Do(ctx, "GET", "/api/articles/"+a.Text("article.slug"), nil)
		switch {
		case err != nil:
			return stale, err
		case b.Status == 404:
			stale++
		case b.Status != 200 || b.Text("article.title") != title:
			return stale, fmt.Errorf("read %d: %v", i, b)
		}
	}
	return stale, nil
}
