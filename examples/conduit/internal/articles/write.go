package articles

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/examples/conduit/internal/web"
)

type articleInput struct {
	Title       web.Opt[string]   `json:"title"`
	Description web.Opt[string]   `json:"description"`
	Body        web.Opt[string]   `json:"body"`
	TagList     web.Opt[[]string] `json:"tagList"`
}

// create takes the plain slug of the title if it is free when the statement
// runs, else one with a random end. Of two who race for the plain slug, the
// second comes back here with no row, and takes the random one.
func (s *Service) create(ctx context.Context, r *web.Request) (int, any, error) {
	var in articleInput
	if err := web.Decode(r, "article", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	title, description := check.Required("title", in.Title), check.Required("description", in.Description)
	body, tags := check.Required("body", in.Body), tagList(&check, in.TagList)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	slug := newSlug(title)
	add := func(plain string) (int, any, error) {
		return s.show(ctx, http.StatusCreated, `
			with u as (select * from users where id = $1),
			a as (
				insert into articles (author_id, slug, title, description, body, tags)
				select u.id, case when exists (select from articles where slug = $2) then $3 else $2 end, $4, $5, $6, $7
				from u
				on conflict (slug) do nothing
				returning *
			)
			select true, true, `+columns+`, false, 0 from a, u`,
			r.Viewer, plain, slug.unique, title, description, body, tags)
	}
	status, answer, err := add(slug.plain)
	if isNotFound(err) {
		status, answer, err = add(slug.unique)
	}
	if isNotFound(err) {
		err = web.Unauthorized("token", "is invalid")
	}
	return status, answer, err
}

// update gives an article with a new title a new slug, so that the address
// keeps saying what stands there. updated_at moves even within a millisecond.
func (s *Service) update(ctx context.Context, r *web.Request) (int, any, error) {
	var in articleInput
	if err := web.Decode(r, "article", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	title, description := check.Change("title", in.Title), check.Change("description", in.Description)
	body, tags := check.Change("body", in.Body), tagList(&check, in.TagList)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	if !in.TagList.Set {
		tags = nil
	}
	var slug slugs
	if title != nil {
		slug = newSlug(*title)
	}
	change := func(plain string) (int, any, error) {
		return s.show(ctx, http.StatusOK, updateSQL,
			r.Viewer, r.Path("slug"), plain, slug.unique, title, description, body, tags)
	}
	status, answer, err := change(slug.plain)
	if isSlugTaken(err) {
		status, answer, err = change(slug.unique)
	}
	return status, answer, err
}

const updateSQL = `
	with old as (select * from articles where slug = $2),
	new as (
		update articles a set
			slug = case
				when $5::text is null or $5 = a.title then a.slug
				when exists (select from articles other where other.slug = $3 and other.id <> a.id) then $4
				else $3 end,
			title = coalesce($5, a.title),
			description = coalesce($6, a.description),
			body = coalesce($7, a.body),
			tags = coalesce($8::text[], a.tags),
			updated_at = greatest(now(), a.updated_at + interval '1 millisecond')
		from old where a.id = old.id and a.author_id = $1
		returning a.*
	), a as (
		select * from new
		union all
		select * from old where author_id <> $1
	)
	select exists (select from users where id = $1), a.author_id = $1, ` + columns + `, ` + favorites + `
	from a join users u on u.id = a.author_id`

func (s *Service) delete(ctx context.Context, r *web.Request) (int, any, error) {
	var exists, mine bool
	err := s.DB.QueryRow(ctx, `
		with a as (select id, author_id from articles where slug = $2),
		gone as (delete from articles where id in (select id from a where author_id = $1))
		select exists (select from users where id = $1), author_id = $1 from a`,
		r.Viewer, r.Path("slug")).Scan(&exists, &mine)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, web.NotFound("article")
	}
	if err == nil {
		err = permit(exists, mine, "article")
	}
	return http.StatusNoContent, nil, err
}

// tagList returns the tags in the order given, each once, without blank ones.
func tagList(check *web.Check, in web.Opt[[]string]) []string {
	if in.Null || in.Bad {
		check.Fail("tagList", "is invalid")
	}
	tags := []string{}
	for _, tag := range in.Value {
		if tag = strings.TrimSpace(tag); tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

func isNotFound(err error) bool {
	var answer *web.Error
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound
}

func isSlugTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == "articles_slug_key"
}
