package acme

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode"
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
	now, life := time.Now().UTC(), m.life(name)
	r := change(ctx, m.deps.Storage.keep, name, func(was Report) Report { return was.after(err, now, life) })
	if err != nil {
		m.deps.Log.Warn("a certificate was not issued", "name", name, "why", r.Error, "next", r.Next)
	} else {
		m.deps.Log.Info("a certificate was issued", "name", name)
	}
}

// after returns the report of the next try, for a certificate of a life; 0 is none yet.
func (r Report) after(err error, now time.Time, life time.Duration) Report {
	if err == nil {
		return Report{At: now, Order: r.Order}
	}
	return Report{At: now, Error: line(err.Error()), Tries: r.Tries + 1, Next: now.Add(pause(r.Tries+1, life)), Order: r.Order}
}

// maxError bounds what is kept of an error, in bytes: an authority, or a proxy before it,
// may answer a page.
const maxError = 1000

// line returns a text as a line that a terminal shows.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if text = strings.Join(strings.Fields(text), " "); len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "..."
	}
	return text
}

// pauses lie between tries that fail, the last again and again: an authority
// refuses who asks too often.
var pauses = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}

// pause returns how long to wait after the nth try that failed: for a certificate of a
// few minutes no longer than it can wait.
func pause(n int, life time.Duration) time.Duration {
	p := pauses[min(max(n, 1), len(pauses))-1]
	if life > 0 {
		p = min(p, life/20)
	}
	return p
}

// life is how long the certificate that a name has is good.
func (m *Manager) life(name string) time.Duration {
	leaf, err := m.pair(context.Background(), name)
	if leaf == nil || err != nil {
		return 0
	}
	return leaf.NotAfter.Sub(leaf.NotBefore)
}

// Next returns when a name's certificate is tried for again, or renewed; the zero time is
// unknown yet.
func Next(k Keeper, name string) time.Time {
	p, r := planOf(k, name), Report{}
	if r, _ = Reported(k, name); r.Error != "" {
		return later(p.At, r.Next)
	}
	return p.At
}

// change changes the report of a name, also where another edge does so at the same time,
// and returns what it is then. A store that cannot be written keeps the old.
func change(ctx context.Context, k Keeper, name string, f func(Report) Report) (r Report) {
	ctx = context.WithoutCancel(ctx)
	for range storeTries {
		was, rev, _ := k.Get(reportPrefix + name)
		r = Report{}
		json.Unmarshal(was, &r) // what cannot be read is none
		r = f(r)
		text, err := json.Marshal(r)
		if err != nil {
			return r
		}
		if ok, err := k.CompareAndSwap(ctx, reportPrefix+name, rev, text); ok || err != nil {
			return r
		}
	}
	return r
}
