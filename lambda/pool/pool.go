// Package pool decides, for one function, where an invocation goes and how
// many execution environments there are. Its two functions, Place and Scale,
// are pure: they read no clock and do no I/O, and each decision bears its reason.
package pool

import (
	"fmt"
	"time"
)

// A View is what is known of one function at one instant.
type View struct {
	Min, Max int           // environments, when nothing is wrong
	Slots    int           // invocations that one environment takes at once
	Idle     time.Duration // how long an environment beyond Min may have no work
	MaxQueue int           // invocations that may wait

	Queued   int           // invocations that wait
	Backoff  time.Duration // > 0: the last start failed; none is tried for so long
	Draining bool          // nothing new is taken; the node stops
	Envs     []Env
}

// Grace is how long a slot counts as Soon after it was last in use: the time
// that a process needs between its answer and its next request for work.
const Grace = 10 * time.Millisecond

// Silence is how long an environment without work may go without asking for
// some: its process hangs.
const Silence = 10 * time.Second

// A State is where an environment is in its life.
type State string

// The states, in their order.
const (
	Starting State = "starting" // the process has not asked for work yet
	Ready    State = "ready"
	Leaving  State = "leaving" // gets no new work; ends when its work is done
)

// An Env is one execution environment.
type Env struct {
	Name    string
	State   State
	Busy    int           // slots with an invocation
	Waiting int           // slots whose `next` waits for work
	Soon    int           // slots that are neither, but are about to ask
	Idle    time.Duration // since it last had work
	Late    bool          // an invocation of it has passed its deadline
}

// An Action is what is to be done.
type Action string

// The actions. Reuse, Queue and Refuse are Place's, the others Scale's.
const (
	Reuse  Action = "reuse"  // give the invocation to Env
	Queue  Action = "queue"  // let it wait for a slot
	Refuse Action = "refuse" // answer at once that there is no room

	Start  Action = "start"  // one more environment
	Retire Action = "retire" // no more work for Env
	Wait   Action = "wait"   // nothing
)

// A Decision is an action and the reason for it, in words for an operator.
type Decision struct {
	Do    Action
	Env   string        // which, for Reuse and Retire
	Why   string        // never ""
	Again time.Duration // of Wait: ask again after this time; 0 when something changes
}

// Place says where a new invocation goes.
//
// The environment with the most recent work is taken first, so that those that
// are not needed stay idle and end.
func Place(v View) Decision {
	best := -1
	for i, e := range v.Envs {
		if e.takes() && e.Waiting > 0 && (best < 0 || e.Idle < v.Envs[best].Idle) {
			best = i
		}
	}
	switch {
	case v.Draining:
		return Decision{Do: Refuse, Why: "the node is stopping"}
	case best >= 0 && v.Queued == 0:
		e := v.Envs[best]
		return Decision{Do: Reuse, Env: e.Name, Why: fmt.Sprintf("%s is warm, %d of %d slots free", e.Name, e.Waiting, v.Slots)}
	case v.Backoff > 0 && v.live() == 0:
		return Decision{Do: Refuse, Why: fmt.Sprintf("the last environment failed to start; the next try is in %v", v.Backoff)}
	case v.Queued >= v.MaxQueue:
		return Decision{Do: Refuse, Why: fmt.Sprintf("%d invocations wait already", v.Queued)}
	case v.room() > v.Queued && v.count(Starting) == 0:
		return Decision{Do: Queue, Why: "a process is about to ask for work"}
	case v.count(Starting) > 0:
		return Decision{Do: Queue, Why: "an environment is starting"}
	case v.live() == 0:
		return Decision{Do: Queue, Why: "no environment runs"}
	}
	return Decision{Do: Queue, Why: fmt.Sprintf("all slots of %d environments are taken", v.live())}
}

// Scale says what to do next about the environments. The caller does it and
// asks again, until the answer is Wait.
//
// An environment that leaves does not count towards Max, or one that finishes
// a long invocation would keep its replacement from starting; but no more than
// Max of them may stand beside the others.
func Scale(v View) Decision {
	for _, e := range v.Envs {
		if e.Late && e.State != Leaving {
			return Decision{Do: Retire, Env: e.Name, Why: "an invocation passed its deadline in it"}
		}
	}
	if v.Draining {
		return Decision{Do: Wait, Why: "the node is stopping"}
	}
	hung, soon := silent(v)
	if hung.Do == Retire {
		return hung
	}
	d, wanted := start(v)
	if !wanted {
		d = idle(v)
	}
	if d.Do == Wait && soon > 0 && (d.Again == 0 || soon < d.Again) {
		d.Again = soon
	}
	return d
}

// silent retires an environment that hangs, and says when one may be found to.
func silent(v View) (d Decision, again time.Duration) {
	for _, e := range v.Envs {
		switch left := Silence - e.Idle; {
		case !e.takes() || e.Busy > 0 || e.Waiting > 0 || e.Soon > 0:
		case left <= 0:
			return Decision{Do: Retire, Env: e.Name, Why: fmt.Sprintf("has no work and asks for none for %v", e.Idle)}, 0
		case again == 0 || left < again:
			again = left
		}
	}
	return Decision{Do: Wait}, again
}

// start says whether one more environment is wanted, and if it can be had.
func start(v View) (d Decision, wanted bool) {
	live, room := v.live(), v.room()
	var why string
	switch {
	case live < v.Min:
		why = fmt.Sprintf("%d of at least %d run", live, v.Min)
	case v.Queued > room:
		why = fmt.Sprintf("%d wait, and %d slots are free or soon will be", v.Queued, room)
	case v.Queued > 0:
		return Decision{Do: Wait, Why: fmt.Sprintf("%d wait, and %d slots are free or soon will be", v.Queued, room), Again: Grace}, true
	default:
		return Decision{}, false
	}
	switch {
	case v.Backoff > 0:
		return Decision{Do: Wait, Why: why + "; the last start failed", Again: v.Backoff}, true
	case live >= v.Max:
		return Decision{Do: Wait, Why: fmt.Sprintf("%s; all %d run", why, v.Max)}, true
	case len(v.Envs) >= 2*v.Max:
		return Decision{Do: Wait, Why: fmt.Sprintf("%s; %d have still to end", why, v.count(Leaving))}, true
	}
	return Decision{Do: Start, Why: why}, true
}

// idle retires the environment that has had no work for longest. Nobody says
// when one falls idle, so it may take up to twice Idle.
func idle(v View) Decision {
	if v.live() <= v.Min {
		return Decision{Do: Wait, Why: "no more run than must"}
	}
	best := -1
	for i, e := range v.Envs {
		if e.State == Ready && e.Busy == 0 && (best < 0 || e.Idle > v.Envs[best].Idle) {
			best = i
		}
	}
	switch {
	case best < 0:
		return Decision{Do: Wait, Why: "none is idle", Again: v.Idle}
	case v.Envs[best].Idle < v.Idle:
		return Decision{Do: Wait, Why: "none is idle for long", Again: v.Idle - v.Envs[best].Idle}
	}
	return Decision{Do: Retire, Env: v.Envs[best].Name, Why: fmt.Sprintf("no work for %v", v.Envs[best].Idle)}
}

// live counts the environments that take work, or will.
func (v View) live() (n int) {
	for _, e := range v.Envs {
		if e.State == Starting || e.takes() {
			n++
		}
	}
	return n
}

// takes reports whether e may get new work.
func (e Env) takes() bool { return e.State == Ready && !e.Late }

func (v View) count(s State) (n int) {
	for _, e := range v.Envs {
		if e.State == s {
			n++
		}
	}
	return n
}

// room counts the slots that can take what waits, now or soon.
func (v View) room() (n int) {
	for _, e := range v.Envs {
		switch {
		case e.State == Starting:
			n += v.Slots
		case e.takes():
			n += e.Waiting + e.Soon
		}
	}
	return n
}

// Backoff returns how long to wait after the n-th failed start in a row.
func Backoff(n int) time.Duration {
	const first, most = 100 * time.Millisecond, 10 * time.Second
	if n <= 0 {
		return 0
	}
	if n > 7 {
		return most
	}
	return min(first<<(n-1), most)
}
