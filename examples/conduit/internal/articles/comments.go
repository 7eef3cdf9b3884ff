package articles

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"

	"meridian/examples/conduit/internal/web"
)

type comment struct {
	ID        int64   `json:"id"`
	CreatedAt instant `json:"createdAt"`
	UpdatedAt instant `json:"updatedAt"`
	Body      string  `json:"body"`
	Author    author  `json:"author"`
}

type commentAnswer struct {
	Comment comment `json:"comment"`
}

type commentsAnswer struct {
	Comments []comment `json:"comments"`
}

// commentColumns is what an answer shows of a row c of comments by a row u of
// users, to the viewer $1.
const commentColumns = `c.id, c.created_at, c.updated_at, c.body, u.username, u.bio, u.image,
	exists (select from follows where follower_id = $1 and followed_id = u.id)`

func (c *comment) fields() []any {
	return []any{&c.ID, &c.CreatedAt.Time, &c.UpdatedAt.Time, &c.Body,
		&c.Author.Username, &c.Author.Bio, &c.Author.Image, &c.Author.Following}
}

// comments lists the newest first. An article without comments is one row
// whose comment is null; an article that is not there is no row.
func (s *Service) comments(ctx context.Context, r *web.Request) (int, any, error) {
	rows, err := s.DB.Query(ctx, `
		select row.* from articles a
		left join lateral (
			select `+commentColumns+`
			from comments c join users u on u.id = c.author_id
			where c.article_id = a.id
		) row on true
		where a.slug = $2
		order by row.id desc`, r.Viewer, r.Path("slug"))
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	found, answer := false, commentsAnswer{Comments: []comment{}}
	for rows.Next() {
		found = true
		if rows.RawValues()[0] == nil {
			continue
		}
		var c comment
		if err := rows.Scan(c.fields()...); err != nil {
			return 0, nil, err
		}
		answer.Comments = append(answer.Comments, c)
	}
	if err := rows.Err(); err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, web.NotFound("article")
	}
	return http.StatusOK, answer, nil
}

func (s *Service) addComment(ctx context.Context, r *web.Request) (int, any, error) {
	var in struct {
		Body web.Opt[string] `json:"body"`
	}
	if err := web.Decode(r, "comment", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	body := check.Required("body", in.Body)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	var c comment
	err := s.DB.QueryRow(ctx, `
		with a as (select id from articles where slug = $2),
		u as (select * from users where id = $1),
		c as (
			insert into comments (article_id, author_id, body)
			select a.id, u.id, $3 from a, u
			returning *
		)
		select `+commentColumns+` from c, u`, r.Viewer, r.Path("slug"), body).
		Scan(c.fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, s.absent(ctx, r.Viewer)
	}
	return http.StatusCreated, commentAnswer{c}, err
}

// absent says which of the two was not there, the viewer or the article.
func (s *Service) absent(ctx context.Context, viewer int64) error {
	var exists bool
	err := s.DB.QueryRow(ctx, `select exists (select from users where id = $1)`, viewer).Scan(&exists)
	switch {
	case err != nil:
		return err
	case !exists:
		return web.Unauthorized("token", "is invalid")
	}
	return web.NotFound("article")
}

func (s *Service) deleteComment(ctx context.Context, r *web.Request) (int, any, error) {
	id, err := strconv.ParseInt(r.Path("id"), 10, 64)
	if err != nil {
		id = 0 // no comment has it
	}
	var exists, found, mine bool
	err = s.DB.QueryRow(ctx, `
		with a as (select id from articles where slug = $2),
		c as (select id, author_id from comments where id = $3 and article_id in (select id from a)),
		gone as (delete from comments where id in (select id from c where author_id = $1))
		select exists (select from users where id = $1), exists (select from c),
			exists (select from c where author_id = $1)
		from a`, r.Viewer, r.Path("slug"), id).Scan(&exists, &found, &mine)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil, web.NotFound("article")
	case err != nil:
		return 0, nil, err
	case !found:
		return 0, nil, web.NotFound("comment")
	}
	return http.StatusNoContent, nil, permit(exists, mine, "comment")
}
