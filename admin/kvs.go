package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"meridian"
	"meridian/client"
)

// Stores is the authority over key-value stores of edge functions.
type Stores interface {
	Pairs(store string) ([]client.Pair, error)
	Put(ctx context.Context, store string, p client.Pair) (client.Pair, error)
	Delete(ctx context.Context, store string, p client.Pair) error
}

func (s *Server) pairs(r *http.Request) (any, error) {
	out, err := s.deps.Stores.Pairs(r.PathValue("store"))
	return list(out), err
}

func (s *Server) changePair(r *http.Request) (any, error) {
	var in client.Pair
	store := r.PathValue("store")
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("change %s: %w", store, err))
	}
	if r.Method == http.MethodDelete {
		err := s.deps.Stores.Delete(r.Context(), store, in)
		if err == nil {
			s.deps.Log.Info("key of a key-value store deleted", "store", store, "key", in.Key)
		}
		return client.Pair{Key: in.Key}, err
	}
	out, err := s.deps.Stores.Put(r.Context(), store, in)
	if err == nil {
		s.deps.Log.Info("key of a key-value store put", "store", store, "key", in.Key)
	}
	return out, err
}
