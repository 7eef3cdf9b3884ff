package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"meridian"
	"meridian/client"
)

// Rollouts is the authority over the rollout of new edge rules. Each change
// returns what is so then.
type Rollouts interface {
	Status(context.Context) (client.Rollout, error)
	Start(context.Context, client.RolloutStart) (client.Rollout, error)
	Percent(context.Context, float64) (client.Rollout, error)
	Promote(context.Context) (client.Rollout, error)
	Abort(context.Context) (client.Rollout, error)
}

func (s *Server) startRollout(r *http.Request) (any, error) {
	var in client.RolloutStart
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("start a rollout: %w", err))
	}
	out, err := s.deps.Rollout.Start(r.Context(), in)
	if err == nil {
		s.deps.Log.Info("rollout started", "version", out.Version, "percent", in.Percent, "header", in.Header, "steps", in.Steps, "gate", !in.NoGate)
	}
	return out, err
}

func (s *Server) changeRollout(r *http.Request) (out any, err error) {
	switch action := r.PathValue("action"); action {
	case "promote":
		out, err = s.deps.Rollout.Promote(r.Context())
	case "abort":
		out, err = s.deps.Rollout.Abort(r.Context())
	case "percent":
		var in struct {
			Percent *float64 `json:"percent"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Percent == nil {
			return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf(`change a rollout: expected {"percent": NUMBER}`))
		}
		out, err = s.deps.Rollout.Percent(r.Context(), *in.Percent)
	default:
		return nil, meridian.WithKind(meridian.NotFound, fmt.Errorf("change a rollout: %q: expected promote, abort or percent", action))
	}
	if err == nil {
		s.deps.Log.Info("rollout changed", "by", r.PathValue("action"))
	}
	return out, err
}
