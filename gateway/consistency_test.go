package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/cors"
)

var (
	older = meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x10}
	newer = meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x20}
	other = meridian.Token{Database: "toys", System: 9, Timeline: 2, LSN: 0x5}
)

const fine = `{"statusCode":200,"body":"ok"}`

func TestTokensBecomeTheFloor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		inner bool
		extra []string
		want  string
	}{
		{"a header", false, []string{"Meridian-Consistency", newer.String()}, newer.String()},
		{"a header of the edge", true, []string{"Meridian-Consistency", newer.String() + "," + other.String()}, newer.String() + "," + other.String()},
		{"the newest of header and cookie", false, []string{"Meridian-Consistency", older.String(), "Cookie", "a=b; Meridian-Consistency=" + newer.String()}, newer.String()},
		{"a cookie of two databases", false, []string{"Cookie", "Meridian-Consistency=" + newer.String() + "|" + other.String()}, newer.String() + "," + other.String()},
		{"several headers", false, []string{"Meridian-Consistency", older.String(), "Meridian-Consistency", other.String()}, older.String() + "," + other.String()},
		{"an edge has merged the cookie already", true, []string{"Cookie", "Meridian-Consistency=" + newer.String()}, ""},
		{"junk beside a token", false, []string{"Meridian-Consistency", "junk," + newer.String()}, newer.String()},
		{"junk", false, []string{"Meridian-Consistency", "junk"}, ""},
		{"nothing", false, nil, ""},
	} {
		w := newWorld(t, &functions{}, nil)
		door := w.public
		if tt.inner {
			door = w.inner
		}
		w.ask(door, "GET", "/pets", "", tt.extra...).want(t, 200, "ok")
		if got := meridian.Tokens(w.fns.last(t).Floor).String(); got != tt.want {
			t.Errorf("%s: floor %q, want %q", tt.name, got, tt.want)
		}
		if e := string(w.fns.last(t).Event); strings.Contains(e, "eridian-") || strings.Contains(e, older.String()) || strings.Contains(e, newer.String()) {
			t.Errorf("%s: the event shows what is Meridian's: %s", tt.name, e)
		}
	}
}

func TestWhatTheDatabaseSawGoesOut(t *testing.T) {
	w := newWorld(t, always(fine, meridian.Observation{Token: newer}), nil)
	a := w.ask(w.public, "GET", "/pets", "", "Meridian-Consistency", older.String()+","+other.String())
	a.header(t, "Meridian-Consistency", newer.String()+","+other.String())
	a.header(t, "Set-Cookie", "Meridian-Consistency="+newer.String()+"|"+other.String()+"; Path=/; HttpOnly; Secure; SameSite=Lax")
	a = w.ask(w.public, "GET", "/pets", "", "Meridian-Consistency", newer.String())
	a.header(t, "Meridian-Consistency", newer.String())
	a.header(t, "Set-Cookie", "") // the token did not advance

	// The edge gets the version of the answer, not what the caller knew before.
	a = w.ask(w.inner, "GET", "/pets", "", "Meridian-Consistency", other.String())
	a.header(t, "Meridian-Consistency", newer.String())
	a.header(t, "Set-Cookie", "")

	w = newWorld(t, &functions{}, nil)
	w.ask(w.public, "GET", "/pets", "", "Meridian-Consistency", older.String()).header(t, "Meridian-Consistency", "")
}

// A function may write and then fail.
func TestTheTokenOfAFailureGoesOutToo(t *testing.T) {
	w := newWorld(t, always(`{"statusCode":500}`, meridian.Observation{Token: newer}), nil)
	w.ask(w.inner, "GET", "/pets", "").header(t, "Meridian-Consistency", newer.String())
}

func TestABadTokenIsCountedAndIgnored(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, &functions{}, func(_ *gateway.Config, d *gateway.Deps) { d.Metrics = reg })
	w.ask(w.public, "GET", "/pets", "", "Meridian-Consistency", "junk").want(t, 200, "ok")
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP meridian_gateway_bad_tokens_total Requests with a consistency token that could not be read, or that no region gave.
# TYPE meridian_gateway_bad_tokens_total counter
meridian_gateway_bad_tokens_total 1
`), "meridian_gateway_bad_tokens_total")
	if err != nil {
		t.Error(err)
	}
}

func TestAFailureForWantOfThePrimarySaysSo(t *testing.T) {
	away := meridian.Observation{PrimaryAway: "us-east-1 was not heard for 3s\n"}
	body := `{"message":"Service Unavailable","reason":"us-east-1 was not heard for 3s\n"}`
	crash := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		return meridian.Answer{Observed: away}, meridian.WithKind(meridian.Crashed, errors.New("exit status 2"))
	}}
	for _, fns := range []*functions{always(`{"statusCode":500,"body":"cannot write"}`, away), always(`junk`, away), crash} {
		w := newWorld(t, fns, nil)
		a := w.ask(w.inner, "POST", "/pets", "")
		a.want(t, 503, body)
		a.header(t, "Retry-After", "5")
		a.header(t, "Meridian-Primary-Away", "us-east-1 was not heard for 3s")
	}
	// A function that could do without the primary is believed.
	w := newWorld(t, always(`{"statusCode":202,"body":"later"}`, away), nil)
	a := w.ask(w.inner, "POST", "/pets", "")
	a.want(t, 202, "later")
	a.header(t, "Meridian-Primary-Away", "")
}

// TestARoutesPromiseReachesTheInvocation asks a route that has one, and as the
// control one that leaves it to the database.
func TestARoutesPromiseReachesTheInvocation(t *testing.T) {
	w := newWorld(t, &functions{}, nil)
	w.ask(w.public, "GET", "/pets/7", "").want(t, 200, "ok")
	if p := w.fns.last(t).Reads; p.Consistency == nil || *p.Consistency != (meridian.Consistency{Level: meridian.Bounded, Bound: time.Second}) || p.Unreachable != meridian.ServeStale {
		t.Errorf("the invocation is promised %+v", p)
	}
	w.ask(w.public, "GET", "/pets", "").want(t, 200, "ok")
	if p := w.fns.last(t).Reads; p != (meridian.Promise{}) {
		t.Errorf("a route that says nothing promises %+v", p)
	}
}

func TestAStaleAnswerSaysSo(t *testing.T) {
	log := &lines{more: make(chan struct{}, 10)}
	reg := prometheus.NewRegistry()
	w := newWorld(t, always(fine, meridian.Observation{Token: older, Stale: "replayed 0/10, asked for 0/20, and us-east-1 is silent"}), func(_ *gateway.Config, d *gateway.Deps) {
		d.Metrics, d.Log = reg, slog.New(slog.NewJSONHandler(log, nil))
	})
	for _, door := range []*httptest.Server{w.public, w.inner} {
		a := w.ask(door, "GET", "/pets", "", "Meridian-Consistency", newer.String())
		a.want(t, 200, "ok")
		a.header(t, "Meridian-Stale", "replayed 0/10, asked for 0/20, and us-east-1 is silent")
		if r := log.last(t); !strings.HasPrefix(fmt.Sprint(r["stale"]), "replayed 0/10") {
			t.Errorf("the log does not say so: %v", r)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "meridian_gateway_stale_answers_total"); n != 1 || err != nil {
		t.Errorf("no metric: %v", err)
	}
	w = newWorld(t, always(fine, meridian.Observation{Token: newer}), nil)
	w.ask(w.public, "GET", "/pets", "").header(t, "Meridian-Stale", "")
}

// TestTheGatewaysOwnDoorKeepsToTheCarriers asks it as a stranger; edges are
// answered by the header whatever the setting.
func TestTheGatewaysOwnDoorKeepsToTheCarriers(t *testing.T) {
	for _, by := range []meridian.Carriers{{}, {NoCookie: true}, {NoHeader: true}} {
		w := newWorld(t, always(fine, meridian.Observation{Token: newer}), func(c *gateway.Config, _ *gateway.Deps) {
			c.Carriers, c.CORS = by, &cors.Config{AllowOrigins: []string{"*"}}
		})
		a := w.ask(w.public, "GET", "/pets", "", "Origin", "https://app.test", "Meridian-Consistency", other.String(), "Cookie", "Meridian-Consistency="+older.String())
		if got := len(w.fns.last(t).Floor); got != 2-map[bool]int{true: 1}[by != meridian.Carriers{}] {
			t.Errorf("%+v: %d tokens were heard", by, got)
		}
		if (a.Header.Get("Set-Cookie") == "") != by.NoCookie || (a.Header.Get("Meridian-Consistency") == "") != by.NoHeader || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "meridian-consistency") {
			t.Errorf("%+v: %v", by, a.Header)
		}
		w.ask(w.inner, "GET", "/pets", "").header(t, "Meridian-Consistency", newer.String())
	}
}

// TestWhoseWriteIsLostHearsItOnce comes with tokens of before a failover: only
// who wrote what is lost, or what nobody can find any more, hears of it, and with
// the token of that answer never again.
func TestWhoseWriteIsLostHearsItOnce(t *testing.T) {
	old := meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x40, Handle: "0a", Wrote: 0x38}
	fresh := meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x30}
	after := meridian.Token{Database: "pets", System: 7, Timeline: 2, LSN: 0x50}
	for _, tt := range []struct {
		is     meridian.Outcome
		status int
		body   string
		lost   string
	}{
		{meridian.Lost, 409, `{"message":"Conflict","reason":"why"}`, "0a"},
		{meridian.Unknown, 409, `{"message":"Conflict","reason":"why"}`, ""},
		{meridian.Committed, 200, "ok", ""},
		{meridian.ReadOnly, 200, "ok", ""},
		{meridian.Sought, 503, `{"message":"Service Unavailable","reason":"why"}`, ""},
		{meridian.Valid, 200, "ok", ""},
	} {
		fate := func(_ context.Context, t meridian.Token) meridian.Fate {
			switch {
			case t.Timeline == 2 || tt.is == meridian.Valid:
				return meridian.Fate{Is: meridian.Valid}
			case tt.is == meridian.Sought:
				return meridian.Fate{Is: meridian.Sought, Why: "why"}
			}
			return meridian.Fate{Is: tt.is, Why: "why", Fresh: fresh}
		}
		replaced := tt.is != meridian.Valid && tt.is != meridian.Sought
		w := newWorld(t, always(fine, meridian.Observation{}), func(_ *gateway.Config, d *gateway.Deps) { d.Fate = fate })
		a := w.ask(w.public, "GET", "/pets", "", "Cookie", "Meridian-Consistency="+old.String(), "Meridian-Consistency", other.String())
		a.want(t, tt.status, tt.body)
		a.header(t, "Meridian-Lost-Write", tt.lost)
		next := ""
		if replaced {
			next = other.String() + "," + fresh.String()
			a.header(t, "Set-Cookie", "Meridian-Consistency="+strings.ReplaceAll(next, ",", "|")+"; Path=/; HttpOnly; Secure; SameSite=Lax")
		}
		a.header(t, "Meridian-Consistency", next)
		if tt.status == 200 && replaced {
			if got := meridian.Tokens(w.fns.last(t).Floor).Of("pets"); got != fresh {
				t.Errorf("%s: floor %s", tt.is, got)
			}
		}
		if replaced { // with what it was given the caller goes on
			a = w.ask(w.public, "GET", "/pets", "", "Meridian-Consistency", next)
			a.want(t, 200, "ok")
			a.header(t, "Meridian-Consistency", "")
		}
		// An edge gets the fresh token alone, and what was seen beside it counts.
		w = newWorld(t, always(fine, meridian.Observation{Token: after}), func(_ *gateway.Config, d *gateway.Deps) { d.Fate = fate })
		a = w.ask(w.inner, "GET", "/pets", "", "Meridian-Consistency", old.String())
		switch {
		case tt.status == 409:
			a.header(t, "Meridian-Consistency", fresh.String())
		case tt.status == 200:
			a.header(t, "Meridian-Consistency", after.String())
		}
	}
}
