package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	proto "github.com/mholt/acmez/v3/acme"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// TestWhenACertificateIsRenewed has an authority say nothing, now, in time, and too late.
func TestWhenACertificateIsRenewed(t *testing.T) {
	const day = 24 * time.Hour
	for _, x := range []struct{ life, said, rest, want time.Duration }{
		{90 * day, 0, time.Hour, 60 * day},
		{90 * day, -day, time.Hour, time.Hour},
		{90 * day, 50 * day, time.Hour, 50 * day},
		{90 * day, 89 * day, time.Hour, 75 * day},
		{time.Minute, -day, time.Hour, 20 * time.Second},
		{time.Minute, 59 * time.Second, time.Hour, 50 * time.Second},
		{290 * 365 * day, 0, time.Hour, 290 * 365 * day / 3 * 2}, // as long as a Duration can be
	} {
		said := time.Time{}
		if x.said != 0 {
			said = noon.Add(x.said)
		}
		leaf := &x509.Certificate{NotBefore: noon, NotAfter: noon.Add(x.life)}
		if got := planned(leaf, said, x.rest).Sub(noon); got != x.want {
			t.Errorf("one of %v, of which %v is said: after %v, want %v", x.life, x.said, got, x.want)
		}
	}
}

// TestAPlanHoldsWhileTheAuthoritySaysTheSame has an authority asked again and again.
func TestAPlanHoldsWhileTheAuthoritySaysTheSame(t *testing.T) {
	leaf := &x509.Certificate{NotBefore: noon, NotAfter: noon.Add(90 * 24 * time.Hour)}
	said := func(start, chosen time.Duration) (r proto.RenewalInfo) {
		r.SuggestedWindow.Start, r.SuggestedWindow.End, r.SelectedTime = noon.Add(start), noon.Add(start+48*time.Hour), noon.Add(chosen)
		return r
	}
	p := plan{}.after("a", leaf, said(100*time.Hour, 110*time.Hour), nil, noon, time.Hour)
	if !p.At.Equal(noon.Add(110*time.Hour)) || !p.Ask.Equal(noon.Add(askDefault)) {
		t.Errorf("at first: %+v", p)
	}
	if q := p.after("a", leaf, said(100*time.Hour, 120*time.Hour), nil, noon, time.Hour); !q.At.Equal(p.At) {
		t.Errorf("the same window: %+v", q)
	}
	if q := p.after("a", leaf, said(50*time.Hour, 60*time.Hour), nil, noon, time.Hour); !q.At.Equal(noon.Add(60 * time.Hour)) {
		t.Errorf("another window: %+v", q)
	}
	if q := p.after("a", leaf, proto.RenewalInfo{}, errors.New("no"), noon, time.Hour); !q.At.Equal(p.At) || !q.Ask.Equal(noon.Add(time.Hour)) {
		t.Errorf("no answer: %+v", q)
	}
	if q := p.after("b", leaf, proto.RenewalInfo{}, errors.New("no"), noon, time.Hour); !q.At.Equal(noon.Add(60 * 24 * time.Hour)) {
		t.Errorf("no answer for another certificate: %+v", q)
	}
	for _, x := range [][2]time.Duration{{0, askLeast}, {2 * time.Hour, 2 * time.Hour}, {1000 * time.Hour, askMost}} {
		r, at := said(100*time.Hour, 110*time.Hour), noon.Add(x[0])
		r.RetryAfter = &at
		if q := p.after("a", leaf, r, nil, noon, time.Hour); !q.Ask.Equal(noon.Add(x[1])) {
			t.Errorf("to be asked after %v: %+v", x[0], q)
		}
	}
}

func TestWhatIsDoneForACertificate(t *testing.T) {
	leaf := &x509.Certificate{}
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	failed := func(d time.Duration) Report { return Report{Error: "no", Next: in(d)} }
	for _, x := range []struct {
		name  string
		k     kept
		p     plan
		r     Report
		do    action
		again time.Duration
	}{
		{"there is none", kept{}, plan{}, Report{}, obtain, 0},
		{"and a try failed", kept{}, plan{}, failed(time.Minute), nothing, time.Minute},
		{"and the pause is over", kept{}, plan{}, failed(0), obtain, 0},
		{"nobody asked", kept{leaf: leaf, id: "a"}, plan{}, Report{}, ask, 0},
		{"the plan is another's", kept{leaf: leaf, id: "a"}, plan{Of: "b", At: in(-1), Ask: in(1)}, Report{}, ask, 0},
		{"it is good", kept{leaf: leaf, id: "a"}, plan{Of: "a", At: in(2), Ask: in(1)}, Report{}, nothing, 1},
		{"it is time to ask", kept{leaf: leaf, id: "a"}, plan{Of: "a", At: in(2), Ask: in(0)}, Report{}, ask, 0},
		{"it is due", kept{leaf: leaf, id: "a"}, plan{Of: "a", At: in(0), Ask: in(-1)}, Report{}, renew, 0},
		{"and a try failed", kept{leaf: leaf, id: "a"}, plan{Of: "a", At: in(0), Ask: in(5)}, failed(3), nothing, 3},
		{"an order failed before it is due", kept{leaf: leaf, id: "a"}, plan{Of: "a", At: in(4), Ask: in(5)}, failed(3), nothing, 4},
	} {
		if do, again := x.k.next(x.p, x.r, noon); do != x.do || !again.Equal(in(x.again)) {
			t.Errorf("%s: %v, at %v; want %v, %v", x.name, do, again.Sub(noon), x.do, x.again)
		}
	}
}

// TestWhoIsLateDoesNotTryAgain has another edge fail, or succeed, while one waits for the
// lock.
func TestWhoIsLateDoesNotTryAgain(t *testing.T) {
	store := newMemory()
	m := New(Config{Names: []string{"a.test"}, Challenge: DNS01, Directory: "https://ca.test/d"}, Deps{Storage: node(store, "b"), Log: discard})
	if err := m.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer m.cache.Stop()
	look := func(rev int64) error {
		return m.event(context.WithValue(t.Context(), basis{}, rev), "cert_obtaining", map[string]any{"identifier": "a.test"})
	}
	if err := look(0); err != nil {
		t.Errorf("nothing happened: %v", err)
	}
	for in, want := range map[time.Duration]error{time.Hour: errLater, -time.Second: nil} {
		change(t.Context(), store, "a.test", func(Report) Report { return Report{Error: "no", Tries: 1, Next: time.Now().Add(in)} })
		if err := look(0); !errors.Is(err, want) {
			t.Errorf("the next try is in %v: %v", in, err)
		}
	}
	m.deps.Storage.Store(t.Context(), m.parts("a.test")[0], []byte("x"))
	if err := look(0); !errors.Is(err, errLater) {
		t.Errorf("there is one: %v", err)
	}
	if err := m.event(t.Context(), "cert_obtaining", map[string]any{"identifier": "a.test"}); err != nil {
		t.Errorf("what an operator orders: %v", err)
	}
}

// TestAReportLosesNothingThatAnotherEdgeSays has one edge tell of a failure while another
// tells that it fulfilled an order.
func TestAReportLosesNothingThatAnotherEdgeSays(t *testing.T) {
	store, other := newMemory(), false
	r := change(t.Context(), store, "a.test", func(was Report) Report {
		if !other {
			other = true
			change(t.Context(), store, "a.test", func(r Report) Report { r.Order = "7"; return r })
		}
		return was.after(errors.New("no"), noon, 0)
	})
	if said, _ := Reported(store, "a.test"); said != r || r.Order != "7" || r.Tries != 1 {
		t.Errorf("%+v, %+v", r, said)
	}
}

func TestWhatAnOrderMayBeRefusedFor(t *testing.T) {
	for _, x := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("creating new order: connection refused"), false},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeUnauthorized}), true},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeServerInternal}), true},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeRateLimited}), false},
		{fmt.Errorf("solving challenges: %w", proto.Problem{Type: proto.ProblemTypeUnauthorized}), false},
	} {
		if got := refusedFor(x.err); got != x.want {
			t.Errorf("%v: %v", x.err, got)
		}
	}
}

var discard = slog.New(slog.DiscardHandler)
