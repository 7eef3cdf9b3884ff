package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// An Access is a read or a write of one register, whose first value is 0.
type Access struct {
	Process int
	Region  string
	Key     string
	Write   bool
	Value   int64 // what was written, or read
	Call    time.Duration
	Return  time.Duration // Never, if it was not answered
	Outcome Outcome
	Note    string // for people: the error, if there was one
}

func (a Access) String() string {
	do := "read"
	if a.Write {
		do = "write"
	}
	back := "never"
	if a.Return != Never {
		back = a.Return.String()
	}
	return fmt.Sprintf("p%d@%s %v..%s %s: %s %s %d %s", a.Process, a.Region, a.Call, back, a.Outcome, do, a.Key, a.Value, a.Note)
}

// A Loss is a time in which the newest writes may have vanished: the primary
// was lost, and what took its place did not have all that was acknowledged.
type Loss struct{ From, To time.Duration }

// A Linearity is what Registers found.
type Linearity struct {
	Broken    []string // keys whose accesses have no order that explains them
	Undecided []string // keys that took too long to judge
	Keys      int
}

// Registers looks for an order of each key's accesses in which every read
// sees the write before it, and which agrees with the clock. In each loss the
// register may once go back to what it was at some earlier time, and a write
// that was undone may have been there until it was lost: at the latest as its
// client heard of that. Without losses such a write never was. It gives each key
// patience.
func Registers(h []Access, losses []Loss, patience time.Duration) (l Linearity) {
	byKey := map[string][]Access{}
	for _, a := range h {
		byKey[a.Key] = append(byKey[a.Key], a)
	}
	l.Keys = len(byKey)
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		switch porcupine.CheckOperationsTimeout(register(len(losses) > 0), operations(byKey[key], losses), patience) {
		case porcupine.Illegal:
			l.Broken = append(l.Broken, key)
		case porcupine.Unknown:
			l.Undecided = append(l.Undecided, key)
		}
	}
	return l
}

// A gone is the moment as of which a write that was undone is there no more.
type gone struct{ value int64 }

// operations leaves out what tells nothing: what failed, and reads without an
// answer. What was not answered may happen until the end of time; if nobody
// read it, it need not have happened. Neither need what was undone.
func operations(h []Access, losses []Loss) (ops []porcupine.Operation) {
	read := map[int64]bool{}
	for _, a := range h {
		if !a.Write && a.Outcome == OK {
			read[a.Value] = true
		}
	}
	for _, a := range h {
		back := a.Return
		switch {
		case a.Outcome == OK:
		case a.Outcome == Failed, !a.Write, !read[a.Value], a.Outcome == Undone && len(losses) == 0:
			continue
		case a.Outcome == Unknown:
			back = Never
		default:
			// At the same instant calls come before returns, and the two would overlap.
			ops = append(ops, porcupine.Operation{ClientId: a.Process, Input: gone{a.Value}, Call: int64(back), Return: int64(back)})
			back = max(a.Call, back-1)
		}
		ops = append(ops, porcupine.Operation{ClientId: a.Process, Input: a, Call: int64(a.Call), Return: int64(back)})
	}
	for _, l := range losses {
		ops = append(ops, porcupine.Operation{Input: l, Call: int64(l.From), Return: int64(l.To)})
	}
	return ops
}

// register is the model. Its state is the value; with losses it is all values
// that the register had, the newest last, since it may go back.
func register(losses bool) porcupine.Model {
	if !losses {
		return porcupine.Model{
			Init: func() any { return int64(0) },
			Step: func(state, input, _ any) (bool, any) {
				a := input.(Access)
				if a.Write {
					return true, a.Value
				}
				return a.Value == state, state
			},
		}
	}
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{"0"} },
		Step: func(state, input, _ any) []any {
			past := state.(string)
			switch in := input.(type) {
			case Access:
				value := fmt.Sprint(in.Value)
				if in.Write {
					return []any{past + " " + value}
				}
				if past == value || strings.HasSuffix(past, " "+value) {
					return []any{past}
				}
			case gone:
				if !slices.Contains(strings.Fields(past), fmt.Sprint(in.value)) {
					return []any{past}
				}
			case Loss:
				out := []any{past}
				for i := range past {
					if past[i] == ' ' {
						out = append(out, past[:i])
					}
				}
				return out
			}
			return nil
		},
	}
	return m.ToModel()
}
