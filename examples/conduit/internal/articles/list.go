package articles

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"meridian/examples/conduit/internal/web"
)

const (
	pageDefault = 20
	pageMost    = 1000
)

type listAnswer struct {
	Articles []article `json:"articles"`
	Count    int       `json:"articlesCount"` // of all that match, not of this page
}

// A filter is a where clause and its arguments. Only the conditions that a
// request names are in its text, so that each combination gets its own plan.
type filter struct {
	where []string
	args  []any
}

// add appends a condition, in which ? stands for the value.
func (f *filter) add(condition string, value any) {
	f.args = append(f.args, value)
	f.where = append(f.where, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(f.args))))
}

func (f *filter) String() string {
	if len(f.where) == 0 {
		return ""
	}
	return "where " + strings.Join(f.where, " and ")
}

func (s *Service) list(ctx context.Context, r *web.Request) (int, any, error) {
	f := filter{args: []any{r.Viewer}}
	if tag := r.Query("tag"); tag != "" {
		f.add("a.tags @> array[?::text]", tag)
	}
	if name := r.Query("author"); name != "" {
		f.add("a.author_id = (select id from users where lower(username) = lower(?))", name)
	}
	if name := r.Query("favorited"); name != "" {
		f.add(`a.id in (select article_id from favorites
			where user_id = (select id from users where lower(username) = lower(?)))`, name)
	}
	return s.page(ctx, r, f)
}

func (s *Service) feed(ctx context.Context, r *web.Request) (int, any, error) {
	f := filter{args: []any{r.Viewer}}
	f.where = []string{"a.author_id in (select followed_id from follows where follower_id = $1)"}
	return s.page(ctx, r, f)
}

// page answers with the newest articles that pass the filter. The count stands
// in every row, and in one row alone where the page is empty.
func (s *Service) page(ctx context.Context, r *web.Request, f filter) (int, any, error) {
	var check web.Check
	limit := check.Number(r, "limit", 1, pageMost, pageDefault)
	offset := check.Number(r, "offset", 0, 1<<31-1, 0)
	if err := check.Err(); err != nil {
		return 0, nil, err
	}
	sql := `
		with page as (
			select a.* from articles a ` + f.String() + `
			order by a.id desc limit ` + f.place(limit) + ` offset ` + f.place(offset) + `
		)
		select (select count(*) from articles a ` + f.String() + `), row.*
		from (select) one left join (
			select a.id, ` + listColumns + `, ` + favorites + `
			from page a join users u on u.id = a.author_id
		) row on true
		order by row.id desc`
	rows, err := s.DB.Query(ctx, sql, f.args...)
	if err != nil {
		return 0, nil, err
	}
	answer := listAnswer{Articles: []article{}}
	err = answer.scan(rows)
	return http.StatusOK, answer, err
}

// place adds a value that no condition names, and returns where it stands.
func (f *filter) place(value any) string {
	f.args = append(f.args, value)
	return "$" + strconv.Itoa(len(f.args))
}

func (l *listAnswer) scan(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		if rows.RawValues()[1] == nil { // no article on this page
			only := make([]any, len(rows.RawValues())) // nil: not wanted
			only[0] = &l.Count
			if err := rows.Scan(only...); err != nil {
				return err
			}
			continue
		}
		var a article
		var id int64
		if err := rows.Scan(append([]any{&l.Count, &id}, a.fields()...)...); err != nil {
			return err
		}
		l.Articles = append(l.Articles, a)
	}
	return rows.Err()
}
