package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"meridian"
	"meridian/gateway"
	"meridian/topology"
)

// What was executed in one region is answered by another as it was, with its
// position, whoever asks through whichever door.
func TestAKeyIsExecutedOnceInAllRegions(t *testing.T) {
	wrote := meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x30}
	_, eu, us := keyedPair(t, always(created, meridian.Observation{Token: wrote}), &functions{})
	first := eu.ask(eu.inner, "POST", "/pets", "x", "Idempotency-Key", `"k"`)
	first.want(t, 201, "made")
	first.header(t, "Idempotency-Replayed", "")
	if p := eu.fns.last(t).Reads; p.Claim != claimed {
		t.Errorf("the invocation's claim is %v, want %v", p.Claim, claimed)
	}
	for _, again := range []answer{us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k"), us.ask(us.public, "POST", "/pets", "x", "Idempotency-Key", `"k"`), eu.ask(eu.inner, "POST", "/pets", "x", "Idempotency-Key", `"k"`)} {
		again.want(t, 201, "made")
		again.header(t, "Idempotency-Replayed", "true")
		again.header(t, "X-One", "1")
		again.header(t, "Content-Type", "text/plain")
		again.header(t, "Meridian-Consistency", wrote.String())
		if !strings.Contains(strings.Join(again.Header.Values("Set-Cookie"), " "), "a=1") {
			t.Errorf("cookies %v", again.Header.Values("Set-Cookie"))
		}
	}
	if n := eu.fns.count() + us.fns.count(); n != 1 {
		t.Errorf("executed %d times, want once", n)
	}
}

// What is another request is executed: of another key, another resource, another
// caller, and what is safe to repeat whatever key it has.
func TestAKeyIsOfOneCallerAndOneResource(t *testing.T) {
	_, eu, us := keyedPair(t, &functions{}, &functions{})
	for i, tt := range []struct {
		method, target string
		header         []string
	}{
		{"POST", "/pets", []string{"Idempotency-Key", "k"}},
		{"POST", "/pets", []string{"Idempotency-Key", "l"}},
		{"POST", "/old/pets", []string{"Idempotency-Key", "k"}},
		{"PUT", "/old/pets", []string{"Idempotency-Key", "k"}},
		{"POST", "/pets", []string{"Idempotency-Key", "k", "Authorization", "Token a"}},
		{"POST", "/pets", []string{"Idempotency-Key", "k", "Authorization", "Token b"}},
		{"GET", "/pets", []string{"Idempotency-Key", "k"}},
		{"GET", "/pets", []string{"Idempotency-Key", "k"}},
		{"POST", "/pets", nil},
		{"POST", "/pets", nil},
	} {
		w := []*world{eu, us}[i%2]
		w.ask(w.inner, tt.method, tt.target, "x", tt.header...).want(t, 200, "ok")
		if n := eu.fns.count() + us.fns.count(); n != i+1 {
			t.Fatalf("%s %s %v: %d were executed, want %d", tt.method, tt.target, tt.header, n, i+1)
		}
	}
}

// The same key for what is not the same request is a mistake of the client's; so
// is a key that cannot be read. Neither is executed.
func TestAKeyThatIsMisusedIsRefused(t *testing.T) {
	_, eu, us := keyedPair(t, &functions{}, &functions{})
	eu.ask(eu.inner, "POST", "/pets?a=1", "x", "Idempotency-Key", "k", "Cookie", "s=1").want(t, 200, "ok")
	for _, tt := range []struct {
		target, body string
		header       []string
		status       int
	}{
		{"/pets?a=1", "y", []string{"Idempotency-Key", "k", "Cookie", "s=1"}, 422},
		{"/pets?a=2", "x", []string{"Idempotency-Key", "k", "Cookie", "s=1"}, 422},
		{"/pets?a=1", "x", []string{"Idempotency-Key", "k", "Cookie", "s=2"}, 422},
		{"/pets?a=1", "x", []string{"Idempotency-Key", "k", "Cookie", "s=1", "Content-Type", "text/plain"}, 422},
		{"/pets", "x", []string{"Idempotency-Key", `"k`}, 400},
		{"/pets", "x", []string{"Idempotency-Key", "k", "Idempotency-Key", "l"}, 400},
	} {
		a := us.ask(us.inner, "POST", tt.target, tt.body, tt.header...)
		a.want(t, tt.status, "")
		if !strings.Contains(a.body, `"reason"`) {
			t.Errorf("%v: no reason: %s", tt.header, a.body)
		}
	}
	if n := us.fns.count(); n != 0 {
		t.Errorf("%d were executed", n)
	}
}

// While the first is being executed the second waits for its answer; who has no
// time for that hears so.
func TestTheSecondWaitsForTheFirst(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	first := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		close(began)
		<-goOn
		return says(created), nil
	}}
	_, eu, us := keyedPair(t, first, &functions{})
	done := make(chan answer, 2)
	go func() { done <- eu.ask(eu.inner, "POST", "/pets", "x", "Idempotency-Key", "k") }()
	<-began
	busy := us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k", "Meridian-Time-Left", "200")
	busy.want(t, 409, `{"message":"Conflict","reason":"eu-west-1 is executing it"}`)
	busy.header(t, "Retry-After", "1")
	go func() { done <- us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k") }()
	close(goOn)
	for range 2 {
		(<-done).want(t, 201, "made")
	}
	if us.fns.count() != 0 {
		t.Error("it was executed twice")
	}
}

// An execution goes on when its caller goes away: another will ask for the answer.
func TestAKeyedExecutionOutlivesItsCaller(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	first := &functions{answer: func(ctx context.Context, _ meridian.Invocation) (meridian.Answer, error) {
		close(began)
		<-goOn
		return says(created), ctx.Err()
	}}
	_, eu, us := keyedPair(t, first, &functions{})
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", eu.inner.URL+"/pets", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.GetBody = "api.example.test:9443", nil
	r.Header.Set("Idempotency-Key", "k")
	gone := make(chan error, 1)
	go func() { _, err := eu.inner.Client().Do(r); gone <- err }()
	<-began
	leave()
	if err := <-gone; err == nil {
		t.Fatal("the caller was answered")
	}
	close(goOn)
	us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k").want(t, 201, "made")
	if us.fns.count() != 0 {
		t.Error("it was executed twice")
	}
}

// What became of the first execution decides about the second.
func TestWhatBecameOfTheFirstDecides(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  *functions
		change func(*shared)
		status int // of the first
		then   func(*shared)
		again  int // of the second
		ran    int // how often, in all
	}{
		{"its function failed", fails(meridian.WithKind(meridian.Crashed, errors.New("x"))), nil, 500, nil, 500, 1},
		{"no function got it", fails(meridian.WithKind(meridian.Throttled, errors.New("x"))), nil, 429, nil, 200, 2},
		{"its answer was too large", &functions{}, func(s *shared) { s.large = true }, 200, nil, 409, 1},
		{"its claim was lost with an old primary", &functions{}, func(s *shared) { s.lost = true }, 503, func(s *shared) { s.lost = false }, 200, 2},
		{"the ledger is away", &functions{}, func(s *shared) { s.away = errors.New("no primary") }, 503, func(s *shared) { s.away = nil }, 200, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, eu, us := keyedPair(t, tt.first, &functions{})
			if tt.change != nil {
				tt.change(s)
			}
			a := eu.ask(eu.inner, "POST", "/pets", "x", "Idempotency-Key", "k")
			a.want(t, tt.status, "")
			if tt.status == 503 && (a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "reason")) {
				t.Errorf("a 503 that does not say why and when: %v %s", a.Header, a.body)
			}
			if tt.then != nil {
				tt.then(s)
			}
			us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k").want(t, tt.again, "")
			if n := eu.fns.count() + us.fns.count(); n != tt.ran {
				t.Errorf("executed %d times, want %d", n, tt.ran)
			}
		})
	}
}

// A claim whose answer never came is not executed again, however long ago it was,
// if something may have been written for it. If surely nothing was, and the file
// lets it, it is executed again: when its time has passed, and at once if its region
// is lost. A region that was only thought lost writes nothing any more.
func TestWhatIsNotKnownIsNotExecutedAgain(t *testing.T) {
	for _, tt := range []struct {
		name          string
		writes, again bool
		over, lost    bool
		status, ran   int
		want          string
		heard         meridian.Kind // by the first, when it then writes
	}{
		{"it may have written", true, true, true, true, 409, 0, "may have been executed", ""},
		{"it wrote nothing in its time", false, true, true, false, 200, 1, "", meridian.Forbidden},
		{"it wrote nothing, and its region is lost", false, true, false, true, 200, 1, "", meridian.Forbidden},
		{"it wrote nothing, and the file does not let it be executed again", false, false, true, true, 409, 0, "nothing was written to the database", ""},
		{"it wrote nothing yet, and its region lives", false, true, false, false, 409, 0, "is executing it", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShared()
			var touch meridian.Toucher
			first := &functions{answer: func(ctx context.Context, in meridian.Invocation) (meridian.Answer, error) {
				if touch = in.Reads.Touch; tt.writes {
					if at, err := touch.Touch(ctx); err != nil || at.LSN <= in.Reads.Claim.LSN {
						t.Errorf("about to write: %v, %v", at, err)
					}
				}
				return says(created), nil
			}}
			places := &topology.Map{}
			places.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "eu-west-1", Healthy: !tt.lost}, {Name: "us-east-1", Healthy: true, Primary: true}}})
			region := func(name meridian.Region, fns *functions) *world {
				return newWorld(t, fns, func(c *gateway.Config, d *gateway.Deps) {
					c.Region, c.ReclaimUnwritten, d.Ledger, d.Map = name, tt.again, s, places
				})
			}
			eu, us := region("eu-west-1", first), region("us-east-1", &functions{})
			eu.ask(eu.inner, "POST", "/pets", "x", "Idempotency-Key", "k").want(t, 201, "")
			s.mu.Lock()
			s.over = tt.over
			for scope, e := range s.entries { // as if its region had died before it said so
				e.Done, e.Answer = false, nil
				s.entries[scope] = e
			}
			s.mu.Unlock()
			a := us.ask(us.inner, "POST", "/pets", "x", "Idempotency-Key", "k", "Meridian-Time-Left", "200")
			a.want(t, tt.status, "")
			if !strings.Contains(a.body, tt.want) || us.fns.count() != tt.ran {
				t.Errorf("%s, executed %d times, want %d", a.body, us.fns.count(), tt.ran)
			}
			if _, err := touch.Touch(t.Context()); tt.heard != "" && meridian.KindOf(err) != tt.heard {
				t.Errorf("the first, about to write at last, hears %v", err)
			}
		})
	}
}

// Whoever may repeat a request elsewhere is told by a region without a ledger that
// nothing of it was executed, and not deceived. A stranger's word counts for nothing.
func TestARegionWithoutALedgerDoesNotPretend(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	a := w.ask(w.inner, "POST", "/pets", "x", "Idempotency-Key", "k", "Meridian-Once", "1")
	a.want(t, 503, "")
	if a.Header.Get("Meridian-Unclaimed") == "" || w.fns.count() != 0 {
		t.Errorf("%v, executed %d times", a.Header, w.fns.count())
	}
	w.ask(w.public, "POST", "/pets", "x", "Idempotency-Key", "k", "Meridian-Once", "1").want(t, 200, "ok")
	w.ask(w.inner, "POST", "/pets", "x", "Idempotency-Key", "k").want(t, 200, "ok")
}

// A request with a key runs where the primary is, and is executed at home if it
// surely was not there.
func TestAKeyedRequestIsPlacedByItsKey(t *testing.T) {
	s := newShared()
	p := newPair(t, &functions{}, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Ledger = s })
	p.home.ask(p.home.inner, "POST", "/pets", "x", "Idempotency-Key", "k").want(t, 200, "ok")
	if p.sent.Load().Header.Get("Meridian-Once") == "" || p.primary.fns.count() != 1 || p.home.fns.count() != 0 {
		t.Errorf("sent %v, executed %d times there and %d at home", p.sent.Load().Header, p.primary.fns.count(), p.home.fns.count())
	}
	again := p.home.ask(p.home.inner, "POST", "/pets", "x", "Idempotency-Key", "k")
	again.want(t, 200, "ok")
	again.header(t, "Idempotency-Replayed", "true")
	p.deaf = true // the answer is lost on its way, and asked of the ledger from home
	heard := p.home.ask(p.home.inner, "POST", "/pets", "x", "Idempotency-Key", "l")
	heard.want(t, 200, "ok")
	heard.header(t, "Idempotency-Replayed", "true")
	if n := p.primary.fns.count() + p.home.fns.count(); n != 2 {
		t.Errorf("two keys were executed %d times", n)
	}
	p.home.ask(p.home.inner, "POST", "/pets", "x").want(t, 503, "") // who has no key hears that nobody knows
	p.deaf = false
	if n := p.home.fns.count(); n != 0 {
		t.Errorf("%d were executed at home", n)
	}
}
