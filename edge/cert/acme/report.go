package acme

import (
	"context"
	"encoding/json"
	"time"
)

// A Report is how the newest try to get a name's certificate went.
type Report struct {
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"`
	Tries int       `json:"tries,omitempty"` // that failed in a row
	Next  time.Time `json:"next,omitzero"`   // not before this time, unless an operator orders it
	Order string    `json:"order,omitempty"` // that was answered last
}

// reportPrefix and orderPrefix are keys of the store, before a name.
const (
	reportPrefix = "acme-reports/"
	orderPrefix  = "acme-orders/"
)

// Reported returns the newest report of a name.
func Reported(k Keeper, name string) (r Report, ok bool) {
	text, _, ok := k.Get(reportPrefix + name)
	return r, ok && json.Unmarshal(text, &r) == nil
}

// say reports a try; nothing depends on it.
func (m *Manager) say(ctx context.Context, name string, err error) {
	was, _ := Reported(m.deps.Storage.keep, name)
	r := was.after(err, time.Now().UTC())
	if err != nil {
		m.deps.Log.Warn("a certificate was not issued", "name", name, "why", r.Error, "next", r.Next)
	} else {
		m.deps.Log.Info("a certificate was issued", "name", name)
	}
	report(context.WithoutCancel(ctx), m.deps.Storage.keep, name, r)
}

// after returns the report of the next try.
func (r Report) after(err error, now time.Time) Report {
	if err == nil {
		return Report{At: now, Order: r.Order}
	}
	return Report{At: now, Error: err.Error(), Tries: r.Tries + 1, Next: now.Add(pause(r.Tries + 1)), Order: r.Order}
}

func report(ctx context.Context, k Keeper, name string, r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for range storeTries {
		_, rev, _ := k.Get(reportPrefix + name)
		if ok, err := k.CompareAndSwap(ctx, reportPrefix+name, rev, text); ok || err != nil {
			return err
		}
	}
	return nil
}
