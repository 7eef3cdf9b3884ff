package world

import (
	"strings"
	"testing"
)

// TestARestartedNodeIsItsNextProcess and the world's end ends both: the one before
// may still drain.
func TestARestartedNodeIsItsNextProcess(t *testing.T) {
	s := lay(t, nil)
	s.start()
	const node = "eu-west-1/edge"
	before := s.process(node)
	if err := s.remote.Restart(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	now := s.process(node)
	if now.PID == before.PID || now.State != "running" {
		t.Errorf("%+v, and before %+v", now, before)
	}
	s.fault("cut", "us-east-1", "eu-west-1")
	s.hear(node + " is told [{us-east-1 eu-west-1 true false 0s}]") // the one that has the place
	if err := s.remote.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.ended(); err != nil {
		t.Errorf("Up: %v", err)
	}
	s.gone(node)
}

// TestANodeThatCannotBeRestartedGoesOn and the command hears why.
func TestANodeThatCannotBeRestartedGoesOn(t *testing.T) {
	s := lay(t, nil)
	s.start()
	const node = "eu-west-1/edge"
	before := s.process(node)
	s.behave(node, "failing")
	if err := s.remote.Restart(t.Context(), node); err == nil || !strings.Contains(err.Error(), "the process that it had goes on: the disk is full") {
		t.Errorf("a bad next process: %v", err)
	}
	if now := s.process(node); now != before {
		t.Errorf("%+v, and before %+v", now, before)
	}
	s.fault("pause", node)
	if err := s.remote.Restart(t.Context(), node); err == nil || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("a node that is paused: %v", err)
	}
	if err := s.remote.Restart(t.Context(), "nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a node that is none: %v", err)
	}
}
