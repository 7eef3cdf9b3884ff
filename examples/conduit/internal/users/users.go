// Package users serves accounts and profiles: register, login, the current
// user, and following. Every operation is one SQL statement, since a statement
// that writes may cross an ocean.
package users

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"meridian/examples/conduit/internal/auth"
	"meridian/examples/conduit/internal/web"
)

// A Service holds what the operations share. It is safe for parallel use.
type Service struct {
	DB        *pgxpool.Pool
	Tokens    *auth.Tokens
	Passwords *auth.Passwords
}

// Routes returns the operations by their route keys.
func (s *Service) Routes() map[string]web.Route {
	return map[string]web.Route{
		"GET /":                                  {Access: web.Public, Do: about},
		"POST /api/users":                        {Access: web.Public, Do: s.register},
		"POST /api/users/login":                  {Access: web.Public, Do: s.login},
		"GET /api/user":                          {Access: web.Required, Do: s.current},
		"PUT /api/user":                          {Access: web.Required, Do: s.update},
		"GET /api/profiles/{username}":           {Access: web.Optional, Do: s.profile},
		"POST /api/profiles/{username}/follow":   {Access: web.Required, Do: s.follow},
		"DELETE /api/profiles/{username}/follow": {Access: web.Required, Do: s.unfollow},
	}
}

type user struct {
	Email    string  `json:"email"`
	Token    string  `json:"token"`
	Username string  `json:"username"`
	Bio      *string `json:"bio"`
	Image    *string `json:"image"`
}

type userAnswer struct {
	User user `json:"user"`
}

type userInput struct {
	Username web.Opt[string] `json:"username"`
	Email    web.Opt[string] `json:"email"`
	Password web.Opt[string] `json:"password"`
	Bio      web.Opt[string] `json:"bio"`
	Image    web.Opt[string] `json:"image"`
}

func (in userInput) empty() bool {
	return !in.Username.Set && !in.Email.Set && !in.Password.Set && !in.Bio.Set && !in.Image.Set
}

// register adds a user unless the name or the address belongs to another. The
// statement looks for both before it inserts, so that one answer names both;
// a race for them ends at the unique indexes.
func (s *Service) register(ctx context.Context, r *web.Request) (int, any, error) {
	var in userInput
	if err := web.Decode(r, "user", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	u := user{Username: check.Required("username", in.Username), Email: check.Required("email", in.Email)}
	password := check.Required("password", in.Password)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	hash, err := s.Passwords.Hash(ctx, password)
	if err != nil {
		return 0, nil, err
	}
	var id *int64
	var nameTaken, emailTaken bool
	err = s.DB.QueryRow(ctx, `
		with taken as (
			select coalesce(bool_or(lower(username) = lower($1)), false) as name,
			       coalesce(bool_or(lower(email) = lower($2)), false) as email
			from users where lower(username) = lower($1) or lower(email) = lower($2)
		), new as (
			insert into users (username, email, password_hash)
			select $1, $2, $3 from taken where not name and not email
			returning id
		)
		select taken.name, taken.email, new.id from taken left join new on true`,
		u.Username, u.Email, hash).Scan(&nameTaken, &emailTaken, &id)
	if err != nil {
		return 0, nil, taken(http.StatusConflict, err)
	}
	if id == nil {
		return 0, nil, web.Taken(http.StatusConflict, takenKeys(nameTaken, emailTaken)...)
	}
	u.Token, err = s.Tokens.Issue(*id, time.Now())
	return http.StatusCreated, userAnswer{u}, err
}

func (s *Service) login(ctx context.Context, r *web.Request) (int, any, error) {
	var in userInput
	if err := web.Decode(r, "user", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	email, password := check.Required("email", in.Email), check.Required("password", in.Password)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	var id int64
	var hash string
	var u user
	err := s.DB.QueryRow(ctx, `
		select id, password_hash, username, email, bio, image from users where lower(email) = lower($1)`,
		email).Scan(&id, &hash, &u.Username, &u.Email, &u.Bio, &u.Image)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, err
	}
	match, err := s.Passwords.Match(ctx, hash, password)
	if err != nil {
		return 0, nil, err
	}
	if !match {
		return 0, nil, web.Unauthorized("credentials", "invalid")
	}
	u.Token, err = s.Tokens.Issue(id, time.Now())
	return http.StatusOK, userAnswer{u}, err
}

func (s *Service) current(ctx context.Context, r *web.Request) (int, any, error) {
	u := user{Token: r.Token}
	err := s.DB.QueryRow(ctx, `select username, email, bio, image from users where id = $1`, r.Viewer).
		Scan(&u.Username, &u.Email, &u.Bio, &u.Image)
	return http.StatusOK, userAnswer{u}, known(err)
}

func (s *Service) update(ctx context.Context, r *web.Request) (int, any, error) {
	var in userInput
	if err := web.Decode(r, "user", &in); err != nil {
		return 0, nil, err
	}
	var check web.Check
	if in.empty() {
		check.Fail("user", "can't be blank")
	}
	username, email := check.Change("username", in.Username), check.Change("email", in.Email)
	password := check.Change("password", in.Password)
	bioSet, bio := check.Nullable("bio", in.Bio)
	imageSet, image := check.Nullable("image", in.Image)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	var hash *string
	if password != nil {
		text, err := s.Passwords.Hash(ctx, *password)
		if err != nil {
			return 0, nil, err
		}
		hash = &text
	}
	u := user{Token: r.Token}
	err := s.DB.QueryRow(ctx, `
		update users set
			username = coalesce($2, username),
			email = coalesce($3, email),
			password_hash = coalesce($4, password_hash),
			bio = case when $5 then $6 else bio end,
			image = case when $7 then $8 else image end
		where id = $1
		returning username, email, bio, image`,
		r.Viewer, username, email, hash, bioSet, bio, imageSet, image).
		Scan(&u.Username, &u.Email, &u.Bio, &u.Image)
	return http.StatusOK, userAnswer{u}, known(taken(http.StatusUnprocessableEntity, err))
}

// known turns the absence of the viewer's own row into a 401: the token names
// a user who is gone.
func known(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return web.Unauthorized("token", "is invalid")
	}
	return err
}

// taken turns the violation of a unique index into the answer that names it.
func taken(status int, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "23505" {
		return err
	}
	return web.Taken(status, takenKeys(pg.ConstraintName == "users_username_key", pg.ConstraintName == "users_email_key")...)
}

func takenKeys(name, email bool) (keys []string) {
	if name {
		keys = append(keys, "username")
	}
	if email {
		keys = append(keys, "email")
	}
	return keys
}
