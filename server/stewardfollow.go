package server

import (
	"context"
	"errors"

	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// handBack returns the record of a planned move that cannot be done to whom it
// came from, who has all that was written.
func (s *steward) handBack(ctx context.Context, r failover.Record) error {
	if r.Gate == 0 || r.From == "" {
		return nil
	}
	s.tenure.halt(ctx)
	defer s.tenure.resume()
	now, rev, _ := s.tenure.now()
	if now.Region != s.self.Region || now.Term != r.Term {
		return nil
	}
	ok, err := s.tenure.replace(ctx, failover.Record{Region: r.From, Term: r.Term + 1, Promise: now.Promise}, rev)
	if err == nil && !ok {
		err = errors.New("the record changed while it was handed back")
	}
	return err
}

// follow makes this standby follow the holder of a term.
func (s *steward) follow(ctx context.Context, term uint64) error {
	s.streams.cut("")
	took := term
	if r, _, _ := s.tenure.now(); r.Term == term && r.Took != 0 {
		took = r.Took
	}
	if err := s.pg.FollowOn(ctx, term, took); err != nil {
		return err
	}
	s.follows = term
	return nil
}

// cut ends the streams of all but one node before PostgreSQL stops: one that is
// frozen would hold that up.
func (s *steward) cut(except string) {
	s.streams.cut(except)
	s.further.cut("")
}

// admit lets standbys come again, those of other regions only to a primary.
func (s *steward) admit(primary bool) {
	s.streams.admit(primary)
	s.further.admit(true)
}

// rejoin gives up being the primary, and follows.
func (s *steward) rejoin(ctx context.Context, term uint64) error {
	s.cut("")
	if _, err := s.proxy.Pause(ctx, 0); err != nil {
		return err
	}
	defer s.proxy.Resume()
	bounded, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	if _, err := s.pg.Stop(bounded); err != nil {
		return err
	}
	return s.restart(ctx, instance.Standby, term)
}

// restart starts PostgreSQL in a role.
func (s *steward) restart(ctx context.Context, role instance.Role, term uint64) error {
	bounded, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	if role == instance.Standby {
		if err := s.pg.Follow(bounded, term); err != nil {
			return err
		}
		s.follows = term
	}
	err := s.pg.Start(bounded, role)
	s.admit(role == instance.Primary)
	if role == instance.Standby && bounded.Err() != nil {
		return nil // it waits for the primary of now, which this loop must not
	}
	return err
}
