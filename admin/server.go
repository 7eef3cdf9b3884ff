package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"meridian"
	"meridian/admin/console"
	"meridian/client"
)

// A Server is the admin API of one node.
type Server struct {
	cfg  Config
	deps Deps
}

// New returns a server.
func New(cfg Config, deps Deps) *Server { return &Server{cfg, deps} }

// Run serves until ctx is over. Operators speak there, and what it reads nobody
// reads after it: net/http's tolerance does no harm, as at an edge it would.
func (s *Server) Run(ctx context.Context, ready func()) error {
	open := s.deps.Open
	if open == nil {
		open = new(net.ListenConfig).Listen
	}
	l, err := open(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	ready()
	select {
	case err := <-done:
		return fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
	}
	srv.Close() // nothing here takes long
	<-done
	return nil
}

// Handler returns the API and the console.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", console.Handler())
	mux.HandleFunc("GET /v1/console", s.console)
	mux.Handle("GET /v1/status", s.guarded(s.status))
	mux.Handle("GET /v1/keys", s.guarded(s.listKeys))
	mux.Handle("POST /v1/keys", s.guarded(s.createKey))
	mux.Handle("DELETE /v1/keys/{id}", s.guarded(s.revokeKey))
	mux.Handle("PUT /v1/drain/{region}", s.guarded(s.drain))
	mux.Handle("DELETE /v1/drain/{region}", s.guarded(s.drain))
	mux.Handle("POST /v1/primary", s.guarded(s.move))
	mux.Handle("PUT /v1/durability", s.guarded(s.durability))
	mux.Handle("GET /v1/regions", s.guarded(func(*http.Request) (any, error) { return s.deps.Regions(), nil }))
	mux.Handle("POST /v1/regions", s.guarded(s.join))
	mux.Handle("DELETE /v1/regions/{region}", s.guarded(s.leave))
	mux.Handle("GET /v1/lost-writes", s.guarded(func(r *http.Request) (any, error) { return s.deps.Lost(r.Context()) }))
	mux.Handle("GET /v1/backups", s.guarded(func(r *http.Request) (any, error) { return s.deps.Backups(r.Context()) }))
	mux.Handle("POST /v1/backups", s.guarded(func(r *http.Request) (any, error) { return s.deps.Backup(r.Context()) }))
	mux.Handle("GET /v1/kvs/{store}", s.guarded(s.pairs))
	mux.Handle("PUT /v1/kvs/{store}", s.guarded(s.changePair))
	mux.Handle("DELETE /v1/kvs/{store}", s.guarded(s.changePair))
	mux.Handle("POST /v1/purges", s.guarded(s.purge))
	mux.Handle("GET /v1/certificates", s.guarded(s.listCerts))
	mux.Handle("POST /v1/certificates", s.guarded(s.addCert))
	mux.Handle("POST /v1/certificates/{name}/issue", s.guarded(s.issueCert))
	mux.Handle("GET /v1/revoked-clients", s.guarded(s.listRevoked))
	mux.Handle("POST /v1/revoked-clients", s.guarded(s.revokeClient))
	mux.Handle("DELETE /v1/certificates/{name}", s.guarded(s.removeCert))
	mux.Handle("POST /v1/reloads", s.guarded(func(r *http.Request) (any, error) { return s.deps.Reload(r.Context()) }))
	mux.Handle("GET /v1/rollout", s.guarded(func(r *http.Request) (any, error) { return s.deps.Rollout.Status(r.Context()) }))
	mux.Handle("POST /v1/rollout", s.guarded(s.startRollout))
	mux.Handle("POST /v1/rollout/{action}", s.guarded(s.changeRollout))
	mux.Handle("GET /v1/traces/{id}", s.guarded(s.trace))
	if s.deps.Metrics != nil {
		mux.Handle("GET /metrics", s.deps.Metrics)
	}
	return mux
}

// guarded lets through who shows the admin token.
func (s *Server) guarded(h func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if s.cfg.Token == "" || !bearer || subtle.ConstantTimeCompare([]byte(shown), []byte(s.cfg.Token)) != 1 {
			s.refuse(w, r, meridian.WithKind(meridian.Unauthenticated, errors.New("the admin token is missing or wrong")))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		out, err := h(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		answer(w, http.StatusOK, out)
	})
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.deps.Log.Info("admin request refused", "method", r.Method, "path", r.URL.Path, "why", err.Error())
	answer(w, statusOf(err), map[string]any{"message": err.Error(), "kind": meridian.KindOf(err)})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

// console answers with the status less what only operators may see.
func (s *Server) console(w http.ResponseWriter, r *http.Request) {
	st := s.statusNow(r)
	for i := range st.Regions {
		st.Regions[i].Postgres = ""
	}
	if st.Rollout != nil {
		shown := *st.Rollout
		shown.File, shown.Rules = "", ""
		st.Rollout = &shown
	}
	answer(w, http.StatusOK, st)
}

func (s *Server) status(r *http.Request) (any, error) { return s.statusNow(r), nil }

func (s *Server) statusNow(r *http.Request) client.Status {
	st := s.deps.Status()
	if s.deps.Glance != nil {
		st.Rollout = s.deps.Glance(r.Context())
	}
	return st
}

func (s *Server) listKeys(*http.Request) (any, error) { return list(s.deps.Keys.List()), nil }

// list makes an empty list of none: programs expect [], not null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func (s *Server) createKey(r *http.Request) (any, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("create key: %w", err))
	}
	if in.Name == "" || len(in.Name) > 1024 {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("create key: a name of %d characters; expected 1 to 1024", len(in.Name)))
	}
	k, err := s.deps.Keys.Create(r.Context(), in.Name)
	if err == nil {
		s.deps.Log.Info("key created", "id", k.ID, "name", k.Name)
	}
	return k, err
}

func (s *Server) revokeKey(r *http.Request) (any, error) {
	k, err := s.deps.Keys.Revoke(r.Context(), r.PathValue("id"))
	if err == nil {
		s.deps.Log.Info("key revoked", "id", k.ID, "name", k.Name)
	}
	return k, err
}

func (s *Server) drain(r *http.Request) (any, error) {
	region, out := meridian.Region(r.PathValue("region")), r.Method == http.MethodPut
	if err := s.deps.Drain(r.Context(), region, out); err != nil {
		return nil, err
	}
	s.deps.Log.Info("drain", "of", region, "out", out)
	return map[string]any{"region": region, "drained": out}, nil
}

func (s *Server) move(r *http.Request) (any, error) {
	var in struct {
		Region meridian.Region `json:"region"`
		client.Move
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("move the primary: %w", err))
	}
	m, err := s.deps.Move(r.Context(), in.Region, in.Move)
	if err == nil {
		s.deps.Log.Info("primary moved", "to", m.Region, "term", m.Term, "pause", m.Pause, "killed", m.Killed)
	}
	return m, err
}

func (s *Server) durability(r *http.Request) (any, error) {
	var in struct {
		Durability *meridian.Durability `json:"durability"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("set the durability: %w", err))
	}
	if in.Durability == nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("set the durability: none is given; expected %s", meridian.Durabilities))
	}
	now, err := s.deps.Durable(r.Context(), *in.Durability)
	if err == nil {
		s.deps.Log.Info("durability", "is", now.Now)
	}
	return now, err
}

func (s *Server) join(r *http.Request) (any, error) {
	var in client.Join
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("let a region join: %w", err))
	}
	roster, err := s.deps.Join(r.Context(), in)
	if err != nil {
		return nil, err
	}
	s.deps.Log.Info("region joins", "of", in.Region)
	return roster, nil
}

func (s *Server) leave(r *http.Request) (any, error) {
	region := meridian.Region(r.PathValue("region"))
	if err := s.deps.Leave(r.Context(), region); err != nil {
		return nil, err
	}
	s.deps.Log.Info("region leaves", "of", region)
	return map[string]any{"region": region, "phase": "leaving"}, nil
}

func (s *Server) purge(r *http.Request) (any, error) {
	var in client.Purge
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("purge: %w", err))
	}
	done, err := s.deps.Purge(r.Context(), in)
	if err == nil {
		s.deps.Log.Info("purge", "id", done.ID, "items", in.Items, "host", in.Host, "everything", in.Everything, "soft", in.Soft, "everywhere", done.Everywhere, "kept", done.Kept, "took", done.Took)
	}
	return done, err
}

func (s *Server) trace(r *http.Request) (any, error) {
	return list(s.deps.Spans(r.Context(), r.PathValue("id"))), nil
}
