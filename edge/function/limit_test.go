package function

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// runaways are scripts that try what a run may not.
var runaways = map[string]string{
	"a loop":                `for (;;) ;`,
	"a loop in a method":    `for (;;) [1, 2].map((x) => x)`,
	"promises":              `const f = async () => { await 0; return f() }; return f()`,
	"recursion":             `const f = () => f(); f()`,
	"a text that grows":     `let s = 'x'; for (;;) s += s`,
	"a list that grows":     `let a = [1]; for (;;) a = [...a, ...a]`,
	"repeat":                `return say('x'.repeat(2 ** 30))`,
	"padding":               `return say('x'.padEnd(2 ** 30))`,
	"replace":               `return say('x'.repeat(2 ** 19).replaceAll('x', 'y'.repeat(2 ** 19)))`,
	"join":                  `return say(new Array(60000).join('y'.repeat(2 ** 19)))`,
	"an array":              `return say(Array(4e8).join(''))`,
	"array-likes":           `return say(Array.from({ length: 1e9 }).length)`,
	"an array-like":         `return say([].indexOf.call({ length: 2 ** 50 }, 1))`,
	"a buffer":              `return say(new Uint8Array(2 ** 40).length)`,
	"Buffer":                `return say(Buffer.alloc(2 ** 33).length)`,
	"a deep text":           `return say(JSON.parse('['.repeat(100000)).length)`,
	"a wide text":           `let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(JSON.stringify(a))`,
	"a wide text, unsaid":   `let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say('' + a)`,
	"a wide text, shown":    `let a = [0]; for (let i = 0; i < 40; i++) a = [a, a]; console.log(a); for (;;) ;`,
	"a wide list":           `let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(a.flat(Infinity).length)`,
	"a far element":         `const a = [], at = 2 ** 31; a[at] = 1; return say(a.map((x) => x).length)`,
	"a far element's text":  `const a = [], at = 2 ** 31; a[at] = 1; return say(a)`,
	"a far element, spread": `const a = [], at = 2 ** 31; a[at] = 1; return say([...a].length)`,
	"a long list":           `const a = []; a.length = 2 ** 31; return say(a.indexOf(1))`,
	"a large number":        `return say(2n ** 10000000000n)`,
	"a regular expression":  `return say(/^(?=a)(a+)+$/.test('a'.repeat(40) + '!'))`,
	"never settled":         `return new Promise(() => {})`,
	"thrown nothing":        `throw undefined`,
}

// runaway makes a function of a script: it runs away but at /good.
func runaway(body string) string {
	return "function say(x) { return { statusCode: 200, body: String(x) } }\nfunction handler(event) { if (event.request.uri === '/good') return event.request; " + body + " }"
}

// TestARunThatExceedsItsLimitsEnds has each script try what a run may not, and a
// good one run after it. What it costs is bounded, once nothing of it goes on.
func TestARunThatExceedsItsLimitsEnds(t *testing.T) {
	for name, body := range runaways {
		t.Run(name, func(t *testing.T) {
			e := function(t, runaway(body))
			allocated, burnt := cost(func() {
				_, err := e.Serve(context.Background(), "f", get("/bad"))
				if !errors.As(err, new(*Error)) {
					t.Fatalf("it passed: %v", err)
				}
				e.work.Wait() // of a run that was left
			})
			if allocated > 128<<20 || burnt > time.Second {
				t.Errorf("it took %d MiB and %v of the processor", allocated>>20, burnt)
			}
			if _, err := e.Serve(context.Background(), "f", get("/good")); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// cost returns what all of this process took while do was done.
func cost(do func()) (allocated uint64, burnt time.Duration) {
	var before, after runtime.MemStats
	var from, to unix.Rusage
	runtime.ReadMemStats(&before)
	unix.Getrusage(unix.RUSAGE_SELF, &from)
	do()
	unix.Getrusage(unix.RUSAGE_SELF, &to)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
}

// stuck is a script that no interrupt ends; /good is one that does no harm.
const stuck = `if (event.request.uri === '/stuck') /^(?=a)(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'); return event.request;`

// A hangman has runs that call hang stay in the engine until they are let go: they
// burn, or only wait.
type hangman struct {
	*Set
	burns    bool
	in, most atomic.Int32
	free     chan struct{}
}

func hanging(t *testing.T, patience time.Duration, limits Limits, burns bool) *hangman {
	h := &hangman{burns: burns, free: make(chan struct{})}
	h.Set = function(t, "function handler(event) { return event.request; }", func(c *Config, _ *Deps) {
		c.Limits = limits
		c.Functions = append(c.Functions, Source{Name: "stuck", File: "s.js", Code: []byte("function handler(event) { if (event.request.uri === '/stuck') hang(); return event.request; }")})
	})
	h.patience = patience
	h.globals["hang"] = func(*vm) any { return h.hang }
	h.fns["stuck"].setup = h.setupOf(h.fns["stuck"])
	return h
}

func (h *hangman) hang() {
	for n, most := h.in.Add(1), h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	defer h.in.Add(-1)
	for h.burns {
		select {
		case <-h.free:
			return
		default:
		}
	}
	<-h.free
}

func (h *hangman) letGo() {
	close(h.free)
	h.work.Wait()
}

// TestAStuckRunLeavesItsSlotToOthers has a run burn in the only slot that there
// is: another function's all go on meanwhile, and its own are refused at once, until
// it ends. As the control, where none is left while it burns, nobody goes on.
func TestAStuckRunLeavesItsSlotToOthers(t *testing.T) {
	h := hanging(t, time.Minute, Limits{Runs: 1}, true)
	if _, err := h.Serve(t.Context(), "stuck", get("/stuck")); !errors.Is(err, errTime) {
		t.Errorf("the one that burns: %v", err)
	}
	for range 20 {
		if _, err := h.Serve(t.Context(), "f", get("/")); err != nil {
			t.Fatalf("another function: %v", err)
		}
	}
	if _, err := h.Serve(t.Context(), "stuck", get("/good")); !errors.Is(err, errStuck) {
		t.Errorf("its own: %v", err)
	}
	h.letGo()
	if _, err := h.Serve(t.Context(), "stuck", get("/good")); err != nil {
		t.Errorf("once it ended: %v", err)
	}
	h = hanging(t, 20*time.Millisecond, Limits{Runs: 1}, true) // control
	h.burn = 0
	h.Serve(t.Context(), "stuck", get("/stuck"))
	if _, err := h.Serve(t.Context(), "f", get("/")); !errors.Is(err, errBusy) {
		t.Errorf("where a stuck run keeps its slot another function's request ends with %v", err)
	}
	h.letGo()
}

// TestFewStuckRunsAreUnderWayAtOnce sends many requests that get stuck. As the
// control, where nothing bounds them all are.
func TestFewStuckRunsAreUnderWayAtOnce(t *testing.T) {
	const requests, runs = 40, 4
	storm := func(change func(*hangman)) int32 {
		h := hanging(t, 100*time.Millisecond, Limits{Runs: runs}, false)
		change(h)
		var all sync.WaitGroup
		for range requests {
			all.Go(func() { h.Serve(t.Context(), "stuck", get("/stuck")) })
		}
		all.Wait()
		h.letGo()
		return h.most.Load()
	}
	if most := storm(func(*hangman) {}); most < runs || most > runs+runs/2 {
		t.Errorf("%d were under way at once, want %d, and half as many again at most", most, runs)
	}
	if most := storm(func(h *hangman) { h.burn, h.slots = requests, make(chan struct{}, requests) }); most != requests {
		t.Errorf("unbounded, %d of %d were under way at once", most, requests)
	}
}

// A function of which one run is stuck is run on, while few are.
func TestAStuckRunHurtsItsOwnRequestAlone(t *testing.T) {
	e := function(t, "function handler(event) { "+stuck+" }", func(c *Config, _ *Deps) { c.Limits.Runs = 4 })
	if _, err := e.Serve(context.Background(), "f", get("/stuck")); !errors.Is(err, errTime) {
		t.Fatal(err)
	}
	if _, err := e.Serve(context.Background(), "f", get("/good")); err != nil {
		t.Error(err)
	}
	e.burn = 0 // control: where none may be stuck, the function is not run
	e.stuck.Add(1)
	e.fns["f"].stuck.Add(1)
	var failed *Error
	if _, err := e.Serve(context.Background(), "f", get("/good")); !errors.As(err, &failed) || failed.Code() != "FunctionThrottledError" {
		t.Errorf("%v", err)
	}
}
