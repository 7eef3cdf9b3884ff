package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"meridian"
	"meridian/internal/leash"
)

// Restart starts a node's next process, which takes the place of the one that
// runs, and returns once that is done. If the next one does not become ready, the
// one that runs goes on, and the error says why.
func (s *Supervisor) Restart(ctx context.Context, node string) error {
	c, err := s.child(node)
	if err != nil {
		return err
	}
	if st, _, _ := c.status(); st != running {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("%s is %s: only a node that runs can be restarted", node, st))
	}
	done := make(chan error, 1)
	if !s.begin(func() { done <- s.replace(c) }) {
		return meridian.WithKind(meridian.Unavailable, errors.New("the world is ending"))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("restart %s: %w", node, ctx.Err())
	}
}

// replace runs until the next process has the place, or has ended.
func (s *Supervisor) replace(c *child) error {
	next := &child{node: c.node, launch: s.launcher(c.node, leash.HandoverVariable+"=1"), before: c}
	ready, ended, life, err := s.launch(next)
	if err != nil {
		return err
	}
	select {
	case <-ready:
	case <-ended:
		_, _, why := next.status()
		return fmt.Errorf("%s is not restarted, the process that it had goes on: %s", c.node, or(why, "the next one ended and gave no reason"))
	case <-s.ending:
		next.end(s.grace / 4)
		return errors.New("the world is ending")
	}
	next.launch = s.launcher(c.node)
	s.mu.Lock()
	s.children[c.node] = next
	s.mu.Unlock()
	c.set(gone)
	s.wg.Go(func() { s.watch(next, ended, life) }) // called in one of wg
	return nil
}

// Restart has a node's next process take its place.
func (r *Remote) Restart(ctx context.Context, node string) error {
	_, err := r.call(ctx, http.MethodPost, "/restart?node="+url.QueryEscape(node), nil)
	return err
}
