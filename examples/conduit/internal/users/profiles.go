package users

import (
	"context"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"

	"meridian/examples/conduit/internal/web"
)

type profile struct {
	Username  string  `json:"username"`
	Bio       *string `json:"bio"`
	Image     *string `json:"image"`
	Following bool    `json:"following"`
}

type profileAnswer struct {
	Profile profile `json:"profile"`
}

func (s *Service) profile(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, r, `
		select true, username, bio, image,
			exists (select from follows where follower_id = $1 and followed_id = users.id)
		from users where lower(username) = lower($2)`)
}

// follow and unfollow do and answer in one statement, and may be repeated.
// The first column says whether the viewer exists.

func (s *Service) follow(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, r, `
		with viewer as (select id from users where id = $1),
		who as (select * from users where lower(username) = lower($2)),
		new as (
			insert into follows (follower_id, followed_id)
			select viewer.id, who.id from viewer, who
			on conflict do nothing
		)
		select exists (select from viewer), username, bio, image, true from who`)
}

func (s *Service) unfollow(ctx context.Context, r *web.Request) (int, any, error) {
	return s.show(ctx, r, `
		with who as (select * from users where lower(username) = lower($2)),
		gone as (delete from follows where follower_id = $1 and followed_id in (select id from who))
		select exists (select from users where id = $1), username, bio, image, false from who`)
}

func (s *Service) show(ctx context.Context, r *web.Request, sql string) (int, any, error) {
	var p profile
	var viewer bool
	err := s.DB.QueryRow(ctx, sql, r.Viewer, r.Path("username")).
		Scan(&viewer, &p.Username, &p.Bio, &p.Image, &p.Following)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil, web.NotFound("profile")
	case err == nil && !viewer:
		return 0, nil, web.Unauthorized("token", "is invalid")
	}
	return http.StatusOK, profileAnswer{p}, err
}
