package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"meridian"
)

// A Process is what the supervisor knows of a node.
type Process struct {
	Node   string `json:"node"`
	State  string `json:"state"`
	PID    int    `json:"pid"`
	Reason string `json:"reason,omitempty"`
}

// handler serves the supervisor's own socket: faults, processes, and the end.
func (s *Supervisor) handler(end func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /fault", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		did, err := s.Inject(r.Context(), f)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		io.WriteString(w, did)
	})
	mux.HandleFunc("POST /roster", func(w http.ResponseWriter, r *http.Request) {
		var to Roster
		err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&to)
		if err == nil {
			err = s.become(to)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		}
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Restart(r.Context(), r.URL.Query().Get("node")); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		}
	})
	mux.HandleFunc("GET /processes", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(s.Processes())
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, r *http.Request) {
		end()
	})
	return mux
}

// Processes returns every node's process, in the order of the plan.
func (s *Supervisor) Processes() (out []Process) {
	for _, n := range s.planned().Nodes {
		st, pid, why := s.nodeProcess(n.Name).status()
		out = append(out, Process{Node: n.Name, State: string(st), PID: pid, Reason: why})
	}
	return out
}

// A Remote speaks to the supervisor of a running world.
type Remote struct {
	record Record
	http   *http.Client
}

// Connect returns a Remote for the world of r.
func Connect(r Record) *Remote {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", r.Socket)
	}
	return &Remote{r, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Alive reports whether the supervisor answers.
func (r *Remote) Alive(ctx context.Context) bool {
	_, err := r.Processes(ctx)
	return err == nil
}

// Processes returns the nodes' processes.
func (r *Remote) Processes(ctx context.Context) (out []Process, err error) {
	b, err := r.call(ctx, http.MethodGet, "/processes", nil)
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(b, &out)
}

// Inject breaks or mends something, and returns what was done in words.
func (r *Remote) Inject(ctx context.Context, f Fault) (string, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	b, err := r.call(ctx, http.MethodPost, "/fault", body)
	return string(b), err
}

// Down ends the world and returns when its supervisor is gone.
func (r *Remote) Down(ctx context.Context) error {
	if _, err := r.call(ctx, http.MethodPost, "/down", nil); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.Alive(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the supervisor (process %d) has not ended: %w", r.record.PID, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func (r *Remote) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, fmt.Errorf("no supervisor answers for the world in %s: is it running? `meridian up FILE` starts it", r.record.State))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(bytes.TrimSpace(b)))
	}
	return b, err
}
