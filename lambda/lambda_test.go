package lambda_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian"
	"meridian/lambda"
)

func TestUnmodifiedFunctionAnswers(t *testing.T) {
	fn := function(t, "hello")
	fn.Min = 1
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	first := h.must("hello", "do", "echo", "text", "one")
	second := h.must("hello", "do", "echo", "text", "two")
	if first.Text != "one" || second.Text != "two" {
		t.Errorf("got %q and %q", first.Text, second.Text)
	}
	if first.PID != second.PID {
		t.Error("a second process was started for the second invocation")
	}
}

// Work for a caller who has gone is lost, so a function must know of the sooner
// of the two ends.
func TestFunctionIsToldHowLongItsCallerWaits(t *testing.T) {
	fn := function(t, "patience")
	fn.Timeout = 20 * time.Second
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	for _, tt := range []struct {
		caller   time.Duration
		from, to int64
	}{{5 * time.Second, 1, 5_000}, {time.Minute, 5_001, 20_000}} {
		r := h.invokeContext(t.Context(), meridian.Invocation{
			ID: "req-" + tt.caller.String(), Function: "patience", Event: event("do", "echo"), Deadline: time.Now().Add(tt.caller),
		})
		if r.err != nil || r.LeftMS < tt.from || r.LeftMS > tt.to {
			t.Errorf("a caller who waits for %v: %d ms left, %v; want %d to %d", tt.caller, r.LeftMS, r.err, tt.from, tt.to)
		}
	}
}

func TestFunctionIsToldWhatLambdaWouldTellIt(t *testing.T) {
	fn := function(t, "told")
	fn.Timeout, fn.MemoryMiB, fn.Concurrency = 20*time.Second, 256, 4
	fn.Env = map[string]string{"GREETING": "hi", "TZ": "Europe/Berlin"}
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}, AccountID: "123456789012"}, lambda.Deps{})
	r := h.invokeContext(t.Context(), meridian.Invocation{
		ID: "req-1", Function: "told", Event: event("do", "echo"),
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"request id", r.RequestID, "req-1"},
		{"ARN", r.ARN, "arn:aws:lambda:eu-west-1:123456789012:function:told"},
		{"trace", r.Trace, "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"},
		{"region", r.variable("AWS_REGION"), "eu-west-1"},
		{"memory", r.variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "256"},
		{"concurrency", r.variable("AWS_LAMBDA_MAX_CONCURRENCY"), "4"},
		{"customer's", r.variable("GREETING"), "hi"},
		{"replaced", r.variable("TZ"), "Europe/Berlin"},
		{"task root", r.variable("LAMBDA_TASK_ROOT"), r.Dir},
		{"the node's own", r.variable("HOME"), "(HOME is not set)"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	if r.LeftMS <= 0 || r.LeftMS > 20_000 {
		t.Errorf("%d ms were left, want up to 20000", r.LeftMS)
	}
	if _, err := os.Stat(r.variable("TMPDIR")); err != nil {
		t.Errorf("scratch folder: %v", err)
	}
	h.stop()
	if _, err := os.Stat(filepath.Dir(r.Dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the function's folder was left behind: %v", err)
	}
}

func TestReservedVariablesAreRefused(t *testing.T) {
	for _, name := range []string{"_HANDLER", "AWS_REGION", "AWS_LAMBDA_RUNTIME_API"} {
		fn := lambda.Function{Name: "f", Bundle: "/somewhere", Env: map[string]string{name: "x"}}
		if _, err := lambda.New(lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneProcessTakesAsManyAsItsConcurrency(t *testing.T) {
	fn := function(t, "many")
	fn.Concurrency, fn.Max = 3, 2
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	var results []<-chan result
	var holds []*held
	for _, id := range []string{"a", "b", "c", "d"} {
		results = append(results, h.hold(g, "many", id))
		holds = append(holds, g.next())
	}
	for _, x := range holds {
		x.release()
	}
	pids := map[int]int{}
	for _, c := range results {
		r := wait(t, c, "answer")
		if r.err != nil {
			t.Error(r.err)
		}
		pids[r.PID]++
	}
	if len(pids) != 2 {
		t.Errorf("four invocations ran in %v, want three in one process and one in another", pids)
	}
}

func TestEachInvocationHasAProcessOfItsOwnByDefault(t *testing.T) {
	fn := function(t, "alone")
	fn.Max = 2
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	a, b := h.hold(g, "alone", "a"), h.hold(g, "alone", "b")
	first, second := g.next(), g.next()
	first.release()
	second.release()
	if ra, rb := wait(t, a, "a"), wait(t, b, "b"); ra.PID == rb.PID || ra.err != nil || rb.err != nil {
		t.Errorf("pids %d and %d, errors %v, %v", ra.PID, rb.PID, ra.err, rb.err)
	}
}

func TestInvocationsWaitForASlotInOrder(t *testing.T) {
	fn := function(t, "queue")
	fn.MaxQueue = 1
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	first := h.hold(g, "queue", "first")
	in := g.next()
	second := h.hold(g, "queue", "second")
	h.until("queue", func(s lambda.Stats) bool { return s.Queued == 1 })

	wantKind(t, h.invoke("queue", "do", "echo").err, meridian.Throttled, "wait already")

	in.release()
	if r := wait(t, first, "first"); r.err != nil {
		t.Error(r.err)
	}
	in = g.next()
	if in.text != "second" {
		t.Errorf("%q came after the first", in.text)
	}
	in.release()
	if r := wait(t, second, "second"); r.err != nil {
		t.Error(r.err)
	}
}

func TestNoSlotUntilTheDeadlineIsThrottled(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "full")}}, lambda.Deps{})
	g := newGate(t)
	first := h.hold(g, "full", "first")
	in := g.next()
	r := h.invokeContext(t.Context(), meridian.Invocation{Function: "full", Event: event("do", "echo"), Deadline: time.Now().Add(50 * time.Millisecond)})
	wantKind(t, r.err, meridian.Throttled, "TooManyRequestsException")
	in.release()
	wait(t, first, "first")
}

func TestFunctionsOwnErrorsComeBack(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "bad")}}, lambda.Deps{})
	err := h.invoke("bad", "do", "fail", "text", "no milk").err
	wantKind(t, err, meridian.Internal, "no milk")
	var fe *lambda.FunctionError
	if !errors.As(err, &fe) || fe.Type != "errorString" || fe.Message != "no milk" || !strings.Contains(string(fe.Payload), `"errorMessage":"no milk"`) {
		t.Errorf("%+v", fe)
	}
	pid := h.must("bad", "do", "echo").PID
	wantKind(t, h.invoke("bad", "do", "panic", "text", "aah").err, meridian.Internal, "aah")
	if r := h.must("bad", "do", "echo"); r.PID == pid {
		t.Error("the process that panicked still works")
	}
}

func TestOversizedPayloadsAreRefused(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "big")}}, lambda.Deps{})
	wantKind(t, h.invoke("big", "do", "big", "mib", 7).err, meridian.Malformed, "Function.ResponseSizeTooLarge")
	wantKind(t, h.invoke("big", "do", "echo", "text", strings.Repeat("x", 6<<20)).err, meridian.TooLarge, "bytes")
	if r := h.must("big", "do", "big", "mib", 5); len(r.Text) != 5<<20 {
		t.Errorf("%d bytes came back", len(r.Text))
	}
}

func TestUnknownFunctionIsNotFound(t *testing.T) {
	h := run(t, lambda.Config{}, lambda.Deps{})
	wantKind(t, h.invoke("ghost").err, meridian.NotFound, "ghost")
}

// Two requests may bear one id: an edge may send one again.
func TestTwinsAreTwoInvocations(t *testing.T) {
	fn := function(t, "twins")
	fn.Concurrency = 2
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	g := newGate(t)
	a, b := h.hold(g, "twins", "same/id"), h.hold(g, "twins", "same/id")
	first, second := g.next(), g.next()
	first.release()
	second.release()
	ids := []string{wait(t, a, "a").RequestID, wait(t, b, "b").RequestID}
	slices.Sort(ids)
	if want := []string{"same-id", "same-id-2"}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
}

func TestOutputIsLoggedWithItsRequest(t *testing.T) {
	h := run(t, lambda.Config{Functions: []lambda.Function{function(t, "chatty")}}, lambda.Deps{})
	h.must("chatty", "do", "say", "text", "good morning")
	h.logs.line(t, "good morning", "request=r-chatty", "stream=stdout", "function=chatty", "env=chatty-1-")
}
