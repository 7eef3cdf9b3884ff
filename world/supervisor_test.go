package world

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian"
)

// TestDownEndsEveryProcess covers what a node left in a session of its own.
func TestDownEndsEveryProcess(t *testing.T) {
	s := lay(t, map[string]string{"eu-west-1": "forking"})
	s.start()
	pids := map[int]bool{}
	for _, n := range threePlacesNodes {
		p := s.process(n)
		if p.State != "running" || pids[p.PID] {
			t.Errorf("%+v", p)
		}
		pids[p.PID] = true
	}
	if err := s.remote.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.ended(); err != nil {
		t.Errorf("Up: %v", err)
	}
	for _, n := range threePlacesNodes {
		s.gone(n)
	}
	if _, err := s.remote.Processes(t.Context()); meridian.KindOf(err) != meridian.Unavailable || !strings.Contains(err.Error(), s.state) {
		t.Errorf("after the end: %v", err)
	}
}

func TestASecondUpFindsTheWorldRunning(t *testing.T) {
	s := lay(t, nil)
	s.start()
	o := Options{File: parse(t, threePlaces), State: s.state, Program: "/nowhere", Build: noBuild, Report: s.report}
	if err := Up(t.Context(), o, func(Record) { t.Error("a second world started") }); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
	if r, err := Read(s.state); err != nil || r != s.record {
		t.Errorf("the record changed: %+v, %v", r, err)
	}
}

// TestALostRegionTakesAllItsProcessesWithIt covers what a node started in a
// session of its own, which a signal to its group would miss.
func TestALostRegionTakesAllItsProcessesWithIt(t *testing.T) {
	s := lay(t, map[string]string{"eu-west-1": "forking"})
	s.start()
	before, edge := s.process("eu-west-1"), s.process("eu-west-1/edge")
	if did := s.fault("down", "eu-west-1"); did != "eu-west-1 is down: its processes were killed" {
		t.Error(did)
	}
	s.gone("eu-west-1")
	if p := s.process("eu-west-1"); p.State != "down" {
		t.Errorf("%+v", p)
	}
	if p := s.process("eu-west-1/edge"); p != edge {
		t.Errorf("the edge beside it: %+v, was %+v", p, edge)
	}
	if did := s.fault("down", "eu-west-1"); did != "eu-west-1 is down already" {
		t.Error(did)
	}
	if did := s.fault("heal", "eu-west-1"); !strings.HasPrefix(did, "eu-west-1 is back after ") {
		t.Error(did)
	}
	if p := s.process("eu-west-1"); p.State != "running" || p.PID == before.PID {
		t.Errorf("%+v, was %+v", p, before)
	}
}

func TestAPausedNodeGoesOnWhereItStood(t *testing.T) {
	s := lay(t, nil)
	s.start()
	before := s.process("us-east-1/edge")
	s.fault("pause", "us-east-1/edge")
	if p := s.process("us-east-1/edge"); p.State != "paused" {
		t.Errorf("%+v", p)
	}
	s.fault("cut", "eu-west-1", "sa-east-1")
	cut := " is told [{eu-west-1 sa-east-1 true false 0s}]"
	s.hear("control"+cut, "us-east-1"+cut, "eu-west-1"+cut, "eu-west-1/edge"+cut, "sa-east-1/edge"+cut)
	if len(s.events) > 0 {
		t.Errorf("a paused node says %q", <-s.events)
	}
	if did := s.fault("heal", "us-east-1/edge"); did != "us-east-1/edge goes on" {
		t.Error(did)
	}
	s.hear("us-east-1/edge" + cut)
	if p := s.process("us-east-1/edge"); p != before {
		t.Errorf("%+v, was %+v", p, before)
	}
}

func TestEveryNodeIsToldTheStateOfAllLinks(t *testing.T) {
	s := lay(t, nil)
	s.start()
	everybody := func(what string) (lines []string) {
		for _, n := range threePlacesNodes {
			lines = append(lines, n+" is told "+what)
		}
		return lines
	}
	s.fault("cut", "eu-west-1", "us-east-1")
	s.hear(everybody("[{eu-west-1 us-east-1 true false 0s}]")...)
	if _, err := s.remote.Inject(t.Context(), Fault{Do: "slow", Names: []string{"us-east-1", "eu-west-1"}, Extra: time.Second}); err != nil {
		t.Fatal(err)
	}
	s.hear(everybody("[{us-east-1 eu-west-1 false false 1s}]")...) // replaces: a link has one state
	s.fault("heal", "eu-west-1", "us-east-1")
	s.hear(everybody("[]")...)
}

func TestANodeThatComesBackLearnsTheFaults(t *testing.T) {
	s := lay(t, nil)
	s.start()
	s.fault("down", "eu-west-1")
	s.fault("cut", "us-east-1", "sa-east-1")
	s.fault("heal", "eu-west-1")
	s.hear("eu-west-1 is told [{us-east-1 sa-east-1 true false 0s}]")
}

func TestHealMendsEverything(t *testing.T) {
	s := lay(t, nil)
	s.start()
	s.fault("down", "eu-west-1")
	s.fault("pause", "sa-east-1/edge")
	s.fault("cut", "us-east-1", "sa-east-1")
	if did := s.fault("heal"); did != "all links are whole; healed eu-west-1, sa-east-1/edge" {
		t.Error(did)
	}
	for _, n := range threePlacesNodes {
		if p := s.process(n); p.State != "running" {
			t.Errorf("%+v", p)
		}
	}
	if did := s.fault("heal"); did != "all links are whole, all nodes are well" {
		t.Error(did)
	}
}

func TestANodeThatDiesIsStartedAgain(t *testing.T) {
	s := lay(t, nil)
	s.start()
	before := s.process("sa-east-1/edge")
	syscall.Kill(before.PID, syscall.SIGKILL)
	s.hear("sa-east-1/edge ended by itself, is started again")
	s.hear("sa-east-1/edge ready")
	if p := s.process("sa-east-1/edge"); p.State != "running" || p.PID == before.PID {
		t.Errorf("%+v, was %+v", p, before)
	}
}

// TestANodeThatCannotStartIsOneError has another node wait for ever for the
// one that failed.
func TestANodeThatCannotStartIsOneError(t *testing.T) {
	s := lay(t, map[string]string{"us-east-1": "failing", "eu-west-1": "never ready"})
	s.start()
	log := filepath.Join(s.state, "log", "us-east-1.log")
	want := "us-east-1 ended while it was starting: the disk is full (" + log + ")"
	if err := s.ended(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, n := range threePlacesNodes {
		s.gone(n)
	}
}

// TestANodeThatWillNotEndIsKilled shortens the grace of eight seconds.
func TestANodeThatWillNotEndIsKilled(t *testing.T) {
	s := lay(t, map[string]string{"us-east-1": "stubborn", "control": "stubborn"})
	f := parse(t, threePlaces)
	o := Options{File: f, State: s.state, Program: os.Args[0], Build: noBuild, Report: s.report}
	chosen, block, held, err := takeBlock(o, s.state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	plan, record, err := prepare(t.Context(), o, chosen, block, s.state)
	if err != nil {
		t.Fatal(err)
	}
	super, err := newSupervisor(s.state, os.Args[0], plan, s.report)
	if err != nil {
		t.Fatal(err)
	}
	super.grace = 100 * time.Millisecond
	ctx, end := context.WithCancel(t.Context())
	defer end()
	if err := super.run(ctx, record, func(Record) { end() }); err != nil {
		t.Error(err)
	}
	for _, n := range threePlacesNodes {
		s.gone(n)
	}
}

func TestAFaultThatMakesNoSenseSaysWhatWould(t *testing.T) {
	s := lay(t, nil)
	s.start()
	for _, c := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Do: "down", Names: []string{"eu-west-2"}}, `there is no node "eu-west-2"; expected one of control, eu-west-1, eu-west-1/edge, sa-east-1/edge, us-east-1, us-east-1/edge`},
		{Fault{Do: "cut", Names: []string{"eu-west-1", "control"}}, `there is no place "control"; expected one of eu-west-1, sa-east-1, us-east-1`},
		{Fault{Do: "cut", Names: []string{"eu-west-1", "eu-west-1"}}, "a link joins two places, found eu-west-1 twice"},
		{Fault{Do: "cut", Names: []string{"eu-west-1"}}, "fault cut eu-west-1: want down|pause|heal NODE, or cut|slow|heal A B"},
		{Fault{Do: "burn", Names: []string{"eu-west-1"}}, "fault burn eu-west-1: want down|pause|heal NODE, or cut|slow|heal A B"},
	} {
		if _, err := s.remote.Inject(t.Context(), c.fault); err == nil || err.Error() != c.want {
			t.Errorf("%v\ngot  %v\nwant %s", c.fault, err, c.want)
		}
	}
	s.fault("down", "eu-west-1")
	if _, err := s.remote.Inject(t.Context(), Fault{Do: "pause", Names: []string{"eu-west-1"}}); err != nil {
		t.Error(err)
	}
}
