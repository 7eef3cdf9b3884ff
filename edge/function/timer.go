package function

import (
	"cmp"
	"slices"
	"time"

	"github.com/dop251/goja"
)

// A timer is what a function written for Node set. None of them waits: the time
// of a run stands still while anything else is to be done, and leaps to the next
// timer when nothing is (as in testing/synctest).
type timer struct {
	id    int64
	due   time.Time
	every time.Duration // 0 for once
	call  goja.Callable
	args  []goja.Value
}

// maxTimers bounds those that wait at once.
const maxTimers = 1000

func (v *vm) setTimer(repeats, now bool) func(goja.FunctionCall) goja.Value {
	return func(c goja.FunctionCall) goja.Value {
		call, ok := goja.AssertFunction(c.Argument(0))
		if !ok {
			v.fail("a timer: expected a function")
		}
		if len(v.timers) >= maxTimers {
			v.throw("more than %d timers", maxTimers)
		}
		t := &timer{call: call}
		wait, rest := time.Duration(0), 1
		if !now {
			wait, rest = time.Duration(max(1, min(c.Argument(1).ToInteger(), 1<<31)))*time.Millisecond, 2
		}
		if repeats {
			t.every = wait
		}
		if len(c.Arguments) > rest {
			t.args = slices.Clone(c.Arguments[rest:]) // they are the engine's
		}
		v.lastTimer++
		t.id, t.due = v.lastTimer, v.now.Add(wait)
		v.timers = append(v.timers, t)
		return v.rt.ToValue(t.id)
	}
}

func (v *vm) clearTimer(c goja.FunctionCall) goja.Value {
	if id := c.Argument(0); !goja.IsUndefined(id) && !goja.IsNull(id) {
		v.timers = slices.DeleteFunc(v.timers, func(t *timer) bool { return t.id == id.ToInteger() })
	}
	return goja.Undefined()
}

// wake calls timers in their order until done reports so, or none is left.
func (v *vm) wake(done func() bool) error {
	for !done() && len(v.timers) > 0 {
		if v.over.Load() {
			return errTime
		}
		t := slices.MinFunc(v.timers, func(a, b *timer) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.id, b.id)) })
		if t.due.After(v.now) {
			v.now = t.due
		}
		if t.due = v.now.Add(t.every); t.every == 0 {
			v.timers = slices.DeleteFunc(v.timers, func(o *timer) bool { return o == t })
		}
		if _, err := t.call(goja.Undefined(), t.args...); err != nil {
			return err
		}
	}
	return nil
}
