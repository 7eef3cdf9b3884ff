package function

import (
	"context"
	"errors"
	"reflect"

	"github.com/dop251/goja"
)

// Serve runs a function for an event. Its error is an *Error.
func (s *Set) Serve(ctx context.Context, name string, ev *Event) (*Result, error) {
	f, e := s.fns[name], s.engine
	if f == nil {
		return nil, &Error{Function: name, Event: ev.Type, Result: "error", Err: errors.New("there is no function of that name")}
	}
	var out *Result
	var ran *vm
	used, err := e.run(ctx, f, func(v *vm) (err error) {
		ran = v
		if out, err = v.serve(ev); out != nil {
			out.Note = v.noted
		}
		return told(err)
	})
	result := "good"
	var wrong invalid
	switch {
	case err == nil:
	case errors.Is(err, errTime), throttled(err), errors.As(err, new(*goja.InterruptedError)), errors.As(err, new(*goja.StackOverflowError)):
		result = "limit"
	case errors.As(err, &wrong):
		result = "invalid"
	default:
		result = "error"
	}
	e.metrics.ran(f, ev.Type, result, used, e.limits.Time)
	if errors.Is(err, errTime) || throttled(err) {
		return nil, f.failed(ev, result, err) // the run may go on: nothing of it is looked at
	}
	if ran != nil {
		ran.flush()
	}
	if err != nil {
		return nil, f.failed(ev, result, explain(err))
	}
	return out, nil
}

// throttled reports a run that was not begun.
func throttled(err error) bool { return errors.Is(err, errStuck) || errors.Is(err, errBusy) }

func (f *fn) failed(ev *Event, result string, err error) *Error {
	return &Error{Function: f.Name, Event: ev.Type, Result: result, Lambda: f.lambda, Err: err}
}

// serve calls the handler, and decodes what it returns.
func (v *vm) serve(ev *Event) (*Result, error) {
	v.in = ev
	v.located(ev.Location)
	own, exported, err := v.handlers(ev.Type)
	if err != nil {
		return nil, err
	}
	if v.fn.lambda || ev.Type == OriginRequest || ev.Type == OriginResponse {
		return v.serveLambda(ev, exported)
	}
	x, err := own(goja.Undefined(), v.cloudFront(ev))
	if err != nil {
		return nil, err
	}
	if x, err = settled(x); err != nil {
		return nil, err
	}
	return v.returned(ev, x)
}

var promiseType = reflect.TypeFor[*goja.Promise]()

// settled returns what a promise became. All that could settle it was done when
// the handler returned: there is nothing to wait for.
func settled(x goja.Value) (goja.Value, error) {
	o, ok := x.(*goja.Object)
	if !ok || o.ExportType() != promiseType { // to export another would copy it
		return x, nil
	}
	p := o.Export().(*goja.Promise)
	switch p.State() {
	case goja.PromiseStateFulfilled:
		return p.Result(), nil
	case goja.PromiseStateRejected:
		return nil, rejected(p.Result())
	}
	return nil, errPending
}

// pending reports a value that a timer may still bring: a promise that is not
// settled, or nothing, which a callback is to follow.
func pending(x goja.Value) bool {
	o, ok := x.(*goja.Object)
	if !ok {
		return x == nil || goja.IsUndefined(x)
	}
	if o.ExportType() != promiseType {
		return false
	}
	return o.Export().(*goja.Promise).State() == goja.PromiseStatePending
}

// rejected makes an error of what a promise was rejected with.
func rejected(x goja.Value) error {
	if o, ok := x.(*goja.Object); ok {
		if stack := o.Get("stack"); stack != nil && !goja.IsUndefined(stack) {
			return errors.New(oneLine(stack.String()))
		}
	}
	return errors.New(oneLine(x.String()))
}
