package lambda_test

import (
	"context"
	"testing"
	"time"

	"meridian"
	"meridian/lambda"
)

// until waits until a function's state is as ok wants it. The log changes with
// the state; the tick is for what is not logged.
func (h *hop) until(fn string, ok func(lambda.Stats) bool) {
	h.t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		var last lambda.Stats
		for _, s := range h.Stats() {
			if s.Function == fn {
				if last = s; ok(s) {
					return
				}
			}
		}
		select {
		case <-tick.C:
		case <-late:
			h.t.Fatalf("%s stays at %+v", fn, last)
		}
	}
}

func TestLateInvocationIsAnsweredAndItsProcessReplaced(t *testing.T) {
	fn := function(t, "late")
	fn.Concurrency, fn.Timeout = 2, time.Second
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	late := h.hold(g, "late", "late")
	stuck := g.next()
	h.passed(500 * time.Millisecond) // so that the second has time left when the first has none
	other := h.hold(g, "late", "other")
	fine := g.next()

	r := wait(t, late, "the late one's answer")
	wantKind(t, r.err, meridian.Timeout, "Task timed out after 1.00 seconds")

	// The process has a free slot, but missed a deadline.
	fresh := h.must("late", "do", "echo")

	fine.release()
	o := wait(t, other, "the other one's answer")
	if o.err != nil {
		t.Errorf("the other one in the process failed: %v", o.err)
	}
	if fresh.PID == o.PID {
		t.Error("a process that missed a deadline got new work")
	}
	stuck.gone(t)
	h.logs.line(t, "Task timed out after 1.00 seconds", "request=late")
	h.until("late", func(s lambda.Stats) bool { return len(s.Envs) == 1 })
}

// passed waits for time to pass: what is tested is a timeout of a real process.
func (h *hop) passed(d time.Duration) { <-time.After(d) }

func TestLateAnswerIsDropped(t *testing.T) {
	fn := function(t, "tardy")
	fn.Concurrency, fn.Timeout = 2, 500*time.Millisecond
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	first := h.hold(g, "tardy", "first")
	a := g.next()
	h.passed(250 * time.Millisecond)
	second := h.hold(g, "tardy", "second")
	b := g.next()
	wantKind(t, wait(t, first, "first").err, meridian.Timeout, "Task timed out")
	a.release() // too late, while the process still has the other one
	b.release()
	if r := wait(t, second, "second"); r.err != nil || r.Text != "second" {
		t.Errorf("second: %q, %v", r.Text, r.err)
	}
}

func TestCrashFailsOnlyWhatItsProcessHeld(t *testing.T) {
	fn := function(t, "crash")
	fn.Concurrency, fn.Max = 2, 2
	neighbour := function(t, "neighbour")
	h := run(t, lambda.Config{Functions: []lambda.Function{fn, neighbour}}, lambda.Deps{})
	g := newGate(t)
	a := h.hold(g, "crash", "a") // fills the first process
	g.next()
	b := h.hold(g, "crash", "b")
	g.next()
	c := h.hold(g, "crash", "c") // the second
	kept := g.next()
	n := h.hold(g, "neighbour", "n")
	alsoKept := g.next()

	wantKind(t, h.invoke("crash", "do", "exit", "text", "tell mother").err, meridian.Crashed, "Runtime exited with error: exit status 3")
	wantKind(t, wait(t, c, "c, which shared the process").err, meridian.Crashed, "Runtime.ExitError")
	kept.gone(t)
	alsoKept.release()
	if r := wait(t, n, "n"); r.err != nil {
		t.Errorf("another function's invocation failed: %v", r.err)
	}
	select {
	case r := <-a:
		t.Errorf("an invocation of another process ended: %v", r.err)
	case r := <-b:
		t.Errorf("an invocation of another process ended: %v", r.err)
	default:
	}
	h.logs.line(t, "function crashed", "last words: tell mother", "exit status 3")
	h.must("crash", "do", "echo") // a new process takes its place
}

func TestCallerWhoGoesAwayIsFreeAndTheSlotStaysTaken(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "left")}}, lambda.Deps{})
	g := newGate(t)
	ctx, leave := context.WithCancel(context.Background())
	gone := h.async(ctx, meridian.Invocation{ID: "gone", Function: "left", Event: event("do", "hold", "addr", g.addr(), "text", "gone")})
	in := g.next()
	leave()
	wantKind(t, wait(t, gone, "the caller's release").err, meridian.Canceled, "canceled")

	next := h.hold(g, "left", "next")
	h.until("left", func(s lambda.Stats) bool { return s.Queued == 1 && s.Envs[0].Busy == 1 })
	in.release()
	after := g.next()
	after.release()
	if r := wait(t, next, "next"); r.err != nil {
		t.Error(r.err)
	}
}

// A caller with little time must not be able to end a process that has more.
func TestCallersDeadlineDoesNotEndTheProcess(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "hasty")}}, lambda.Deps{})
	pid := h.must("hasty", "do", "echo").PID
	g := newGate(t)
	r := h.invokeContext(t.Context(), meridian.Invocation{
		Function: "hasty", Event: event("do", "hold", "addr", g.addr(), "text", "x"), Deadline: time.Now().Add(100 * time.Millisecond),
	})
	wantKind(t, r.err, meridian.Timeout, "the caller's deadline")
	g.next().release()
	if r := h.must("hasty", "do", "echo"); r.PID != pid {
		t.Error("the process was replaced")
	}
}

func TestIdleProcessEndsAndAnotherStartsOnDemand(t *testing.T) {
	fn := function(t, "idle")
	fn.Idle = 20 * time.Millisecond
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	first := h.must("idle", "do", "echo")
	h.logs.line(t, "environment leaves", "no work for")
	h.until("idle", func(s lambda.Stats) bool { return len(s.Envs) == 0 })
	if second := h.must("idle", "do", "echo"); second.PID == first.PID {
		t.Error("the process that ended answered")
	}
}

func TestMinimumRunsWithoutDemandAndIsKept(t *testing.T) {
	fn := function(t, "kept")
	fn.Min, fn.Max, fn.Idle = 2, 3, time.Millisecond
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	h.until("kept", func(s lambda.Stats) bool { return len(s.Envs) == 2 && s.Envs[0].Waiting+s.Envs[1].Waiting == 2 })
	h.invoke("kept", "do", "exit")
	h.until("kept", func(s lambda.Stats) bool { return len(s.Envs) == 2 && s.Envs[0].Waiting+s.Envs[1].Waiting == 2 })
}

func TestBrokenFunctionKeepsNobodyFromStarting(t *testing.T) {
	broken, missing, fine := function(t, "broken"), function(t, "missing"), function(t, "fine")
	broken.Min, missing.Min, fine.Min = 1, 1, 1
	broken.Env = map[string]string{"INIT": "exit"}
	missing.Bundle += "-gone"
	h := run(t, lambda.Config{Functions: []lambda.Function{broken, missing, fine}}, lambda.Deps{})
	h.must("fine", "do", "echo")
	h.logs.line(t, "function failed to start", "function=broken", "cannot open the thing that I need", "exit status 7")
	h.logs.line(t, "function failed to start", "function=missing", "no such file")
	wantKind(t, h.invoke("broken", "do", "echo").err, meridian.Crashed, "exit status 7")
	wantKind(t, h.invoke("missing", "do", "echo").err, meridian.Crashed, "no such file")
}

func TestProcessThatNeverAsksForWorkIsGivenUp(t *testing.T) {
	g := newGate(t)
	fn := function(t, "mute")
	fn.Env = map[string]string{"INIT": "hang", "INIT_ADDR": g.addr()}
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}, InitTimeout: 200 * time.Millisecond}, lambda.Deps{})
	wantKind(t, h.invoke("mute", "do", "echo").err, meridian.Crashed, "Init timed out after 0.20 seconds")
	g.next().gone(t)
}

func TestStopLetsAcceptedInvocationsFinish(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "stop")}, Drain: time.Minute}, lambda.Deps{})
	g := newGate(t)
	inFlight := h.hold(g, "stop", "in flight")
	in := g.next()
	waiting := h.hold(g, "stop", "waiting")
	h.until("stop", func(s lambda.Stats) bool { return s.Queued == 1 })
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	h.until("stop", func(s lambda.Stats) bool { return s.Draining })

	wantKind(t, h.invoke("stop", "do", "echo").err, meridian.Unavailable, "stopping")
	in.release()
	g.next().release()
	for _, c := range []<-chan result{inFlight, waiting} {
		if r := wait(t, c, "an accepted one"); r.err != nil {
			t.Error(r.err)
		}
	}
	wait(t, stopped, "the end")
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "stuck")}, Drain: 50 * time.Millisecond}, lambda.Deps{})
	g := newGate(t)
	inFlight := h.hold(g, "stuck", "in flight")
	in := g.next()
	waiting := h.hold(g, "stuck", "waiting")
	h.until("stuck", func(s lambda.Stats) bool { return s.Queued == 1 })
	h.stop()
	in.gone(t)
	for _, c := range []<-chan result{inFlight, waiting} {
		wantKind(t, wait(t, c, "an accepted one").err, meridian.Unavailable, "stop")
	}
}

func TestProcessOverItsMemoryIsEndedAlone(t *testing.T) {
	fn, other := function(t, "greedy"), function(t, "modest")
	fn.MemoryMiB = 64
	h := run(t, lambda.Config{Functions: []lambda.Function{fn, other}}, lambda.Deps{})
	g := newGate(t)
	modest := h.hold(g, "modest", "m")
	in := g.next()
	wantKind(t, h.invoke("greedy", "do", "take", "mib", 400, "addr", g.addr()).err, meridian.Crashed, "Runtime.OutOfMemory")
	h.logs.line(t, "function crashed", "function=greedy", "out_of_memory=true")
	in.release()
	if r := wait(t, modest, "modest"); r.err != nil {
		t.Error(r.err)
	}
	h.must("greedy", "do", "echo")
}
