package lambda_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/lambda"
)

// A ledger is a Database that writes down what it is told.
type ledger struct {
	mu       sync.Mutex // guards what follows
	attached map[string]bool
	open     map[string][]meridian.Token // floors in flight, by environment
	reads    meridian.Promise
	traced   bool
	seen     meridian.Observation
	broken   error
}

func (l *ledger) Attach(env string) (string, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return "", nil, l.broken
	}
	l.attached[env] = true
	return fmt.Sprintf("postgres://shop.%s:pa%%20ss@127.0.0.1:6432/shop?sslmode=disable", env), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.attached, env)
	}, nil
}

func (l *ledger) Begin(ctx context.Context, env string, floor meridian.Token, reads meridian.Promise) func() meridian.Observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.attached[env] {
		panic("an environment that is not attached")
	}
	l.traced = trace.SpanContextFromContext(ctx).IsValid()
	l.open[env], l.reads = append(l.open[env], floor), reads
	return func() meridian.Observation {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(l.open[env], floor)
		l.open[env] = slices.Delete(l.open[env], i, i+1)
		return l.seen
	}
}

func (l *ledger) inFlight() (floors []meridian.Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.open {
		floors = append(floors, f...)
	}
	return floors
}

func (l *ledger) environments() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.attached)
}

func withDatabase(t *testing.T, configure func(*lambda.Function)) (*hop, *ledger) {
	l := &ledger{attached: map[string]bool{}, open: map[string][]meridian.Token{}}
	fn := function(t, "shop")
	fn.Databases = []string{"shop"}
	if configure != nil {
		configure(&fn)
	}
	return run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{Databases: map[string]lambda.Database{"shop": l}}), l
}

func TestDatabaseIsAnnouncedToTheProcess(t *testing.T) {
	h, l := withDatabase(t, nil)
	r := h.must("shop", "do", "echo")
	user := r.variable("PGUSER")
	for name, want := range map[string]string{
		"DATABASE_URL": "postgres://" + user + ":pa%20ss@127.0.0.1:6432/shop?sslmode=disable",
		"PGHOST":       "127.0.0.1", "PGPORT": "6432", "PGPASSWORD": "pa ss", "PGDATABASE": "shop", "PGSSLMODE": "disable",
	} {
		if got := r.variable(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	h.stop()
	if n := l.environments(); n != 0 {
		t.Errorf("%d environments were not detached", n)
	}
}

func TestFloorHoldsWhileTheFunctionWorks(t *testing.T) {
	h, l := withDatabase(t, nil)
	floor := meridian.Token{Database: "shop", System: 1, Timeline: 1, LSN: 42}
	l.seen = meridian.Observation{Token: meridian.Token{Database: "shop", System: 1, Timeline: 1, LSN: 50}, Local: 2, Forwarded: 1}
	g := newGate(t)
	c := h.async(t.Context(), meridian.Invocation{
		Function: "shop", Event: event("do", "hold", "addr", g.addr()),
		Floor: []meridian.Token{{Database: "other", LSN: 7}, floor}, Reads: meridian.Promise{Unreachable: meridian.ServeStale},
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	in := g.next()
	if got := l.inFlight(); !slices.Equal(got, []meridian.Token{floor}) {
		t.Errorf("in flight: %v", got)
	}
	if l.reads.Unreachable != meridian.ServeStale {
		t.Error("the database was not told what the route promises")
	}
	if !l.traced {
		t.Error("the database was not given the trace")
	}
	in.release()
	r := wait(t, c, "answer")
	if r.err != nil || r.observed != l.seen {
		t.Errorf("observed %+v, %v", r.observed, r.err)
	}
	if got := l.inFlight(); len(got) != 0 {
		t.Errorf("still in flight: %v", got)
	}
}

// What a failed invocation wrote, its caller must be able to read.
func TestObservationComesBesideErrors(t *testing.T) {
	h, l := withDatabase(t, nil)
	l.seen = meridian.Observation{Token: meridian.Token{Database: "shop", System: 1, LSN: 9}, PrimaryAway: "us-east-1 is down"}
	for _, do := range []string{"fail", "panic", "exit"} {
		if r := h.invoke("shop", "do", do); r.err == nil || r.observed != l.seen {
			t.Errorf("%s: observed %+v, %v", do, r.observed, r.err)
		}
	}
	if got := l.inFlight(); len(got) != 0 {
		t.Errorf("still in flight: %v", got)
	}
}

func TestEachEnvironmentHasAURLOfItsOwn(t *testing.T) {
	h, _ := withDatabase(t, func(f *lambda.Function) { f.Min, f.Max = 2, 2 })
	g := newGate(t)
	a, b := h.hold(g, "shop", "a"), h.hold(g, "shop", "b")
	first, second := g.next(), g.next()
	first.release()
	second.release()
	if ra, rb := wait(t, a, "a"), wait(t, b, "b"); ra.variable("DATABASE_URL") == rb.variable("DATABASE_URL") {
		t.Errorf("both have %s", ra.variable("DATABASE_URL"))
	}
}

func TestDatabaseThatCannotBeAttachedFailsTheFunctionAlone(t *testing.T) {
	l := &ledger{broken: errors.New("no more users")}
	fn, fine := function(t, "shop"), function(t, "fine")
	fn.Databases, fn.Min, fine.Min = []string{"shop"}, 1, 1
	h := run(t, lambda.Config{Functions: []lambda.Function{fn, fine}}, lambda.Deps{Databases: map[string]lambda.Database{"shop": l}})
	h.must("fine", "do", "echo")
	wantKind(t, h.invoke("shop", "do", "echo").err, meridian.Crashed, "attach to database shop: no more users")
}
