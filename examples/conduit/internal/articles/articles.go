// Package articles serves articles and what hangs on them: comments,
// favorites, the feed and tags. Every operation is one SQL statement, since a
// statement that writes may cross an ocean.
package articles

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"meridian/examples/conduit/internal/web"
)

// A Service holds what the operations share. It is safe for parallel use.
type Service struct{ DB *pgxpool.Pool }

// Routes returns the operations by their route keys.
func (s *Service) Routes() map[string]web.Route {
	return map[string]web.Route{
		"GET /api/articles":                         {Access: web.Optional, Do: s.list},
		"GET /api/articles/feed":                    {Access: web.Required, Do: s.feed},
		"GET /api/articles/{slug}":                  {Access: web.Lenient, Do: s.get},
		"POST /api/articles":                        {Access: web.Required, Do: s.create},
		"PUT /api/articles/{slug}":                  {Access: web.Required, Do: s.update},
		"DELETE /api/articles/{slug}":               {Access: web.Required, Do: s.delete},
		"GET /api/articles/{slug}/comments":         {Access: web.Optional, Do: s.comments},
		"POST /api/articles/{slug}/comments":        {Access: web.Required, Do: s.addComment},
		"DELETE /api/articles/{slug}/comments/{id}": {Access: web.Required, Do: s.deleteComment},
		"POST /api/articles/{slug}/favorite":        {Access: web.Required, Do: s.favorite},
		"DELETE /api/articles/{slug}/favorite":      {Access: web.Required, Do: s.unfavorite},
		"GET /api/tags":                             {Access: web.Public, Do: s.tags},
	}
}

type author struct {
	Username  string  `json:"username"`
	Bio       *string `json:"bio"`
	Image     *string `json:"image"`
	Following bool    `json:"following"`
}

type article struct {
	Slug           string   `json:"slug"`
	Title          string   `json:"title"`
	Description    string   `json:"description"`
	Body           *string  `json:"body,omitempty"` // nil in lists
	TagList        []string `json:"tagList"`
	CreatedAt      instant  `json:"createdAt"`
	UpdatedAt      instant  `json:"updatedAt"`
	Favorited      bool     `json:"favorited"`
	FavoritesCount int      `json:"favoritesCount"`
	Author         author   `json:"author"`
}

type articleAnswer struct {
	Article article `json:"article"`
}

// An instant encodes as ISO 8601 in UTC with milliseconds.
type instant struct{ time.Time }

func (i instant) MarshalJSON() ([]byte, error) {
	return i.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// columns is what an answer shows of a row a of articles by a row u of users,
// to the viewer $1. Statements that change favorites have their own last two.
// Lists show no body, and so do not read it.
const (
	columns     = columnsBefore + `a.body` + columnsAfter
	listColumns = columnsBefore + `null::text` + columnsAfter

	columnsBefore = `a.slug, a.title, a.description, `
	columnsAfter  = `, a.tags, a.created_at, a.updated_at, u.username, u.bio, u.image,
	exists (select from follows where follower_id = $1 and followed_id = u.id)`
)

const favorites = `exists (select from favorites where article_id = a.id and user_id = $1),
	(select count(*) from favorites where article_id = a.id)`

// fields are the places for columns and the two about favorites.
func (a *article) fields() []any {
	return []any{&a.Slug, &a.Title, &a.Description, &a.Body, &a.TagList, &a.CreatedAt.Time, &a.UpdatedAt.Time,
		&a.Author.Username, &a.Author.Bio, &a.Author.Image, &a.Author.Following, &a.Favorited, &a.FavoritesCount}
}

func (s *Service) get(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, http.StatusOK, `
		select true, true, `+columns+`, `+favorites+`
		from articles a join users u on u.id = a.author_id
		where a.slug = $2`, r.Viewer, r.Path("slug"))
}

// show answers with the one row of a statement, whose first two columns say
// whether the viewer exists and may do this. No row means no such article.
func (s *Service) show(ctx context.Context, status int, sql string, args ...any) (int, any, error) {
	var a article
	var exists, may bool
	err := s.DB.QueryRow(ctx, sql, args...).Scan(append([]any{&exists, &may}, a.fields()...)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil, web.NotFound("article")
	case err != nil:
		return 0, nil, err
	}
	if err := permit(exists, may, "article"); err != nil {
		return 0, nil, err
	}
	return status, articleAnswer{a}, nil
}

func permit(exists, may bool, thing string) error {
	switch {
	case !exists:
		return web.Unauthorized("token", "is invalid")
	case !may:
		return web.Forbidden(thing)
	}
	return nil
}

func (s *Service) favorite(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, http.StatusOK, `
		with viewer as (select id from users where id = $1),
		a as (select * from articles where slug = $2),
		new as (
			insert into favorites (article_id, user_id)
			select a.id, viewer.id from a, viewer
			on conflict do nothing
			returning 1
		)
		select exists (select from viewer), true, `+columns+`, true,
			(select count(*) from favorites where article_id = a.id) + (select count(*) from new)
		from a join users u on u.id = a.author_id`, r.Viewer, r.Path("slug"))
}

func (s *Service) unfavorite(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, http.StatusOK, `
		with a as (select * from articles where slug = $2),
		gone as (
			delete from favorites where user_id = $1 and article_id in (select id from a)
			returning 1
		)
		select exists (select from users where id = $1), true, `+columns+`, false,
			(select count(*) from favorites where article_id = a.id) - (select count(*) from gone)
		from a join users u on u.id = a.author_id`, r.Viewer, r.Path("slug"))
}

type tagsAnswer struct {
	Tags []string `json:"tags"`
}

func (s *Service) tags(ctx context.Context, _ *web.Request) (int, any, error) {
	rows, _ := s.DB.Query(ctx, `select distinct unnest(tags) as tag from articles order by tag`)
	tags, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if tags == nil {
		tags = []string{}
	}
	return http.StatusOK, tagsAnswer{tags}, err
}
