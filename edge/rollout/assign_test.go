package rollout

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func plan(percent float64) Plan {
	return Plan{Version: "r1", Seed: []byte("seed"), Percent: percent, By: ByClient}
}

// TestSharesAreAsAsked draws for many clients, and many requests.
func TestSharesAreAsAsked(t *testing.T) {
	const n = 20_000
	for _, by := range []By{ByClient, ByRequest} {
		for _, percent := range []float64{0, 0.1, 1, 5, 15, 50, 99, 100} {
			p, got := plan(percent), 0
			p.By = by
			for i := range n {
				if Assign(p, Asking{Client: fmt.Sprintf("198.18.%d.%d", i/256, i%256), Request: fmt.Sprint(i)}).Staged {
					got++
				}
			}
			want := percent / 100 * n
			if away := math.Abs(float64(got) - want); away > 5*math.Sqrt(want*(1-percent/100)) {
				t.Errorf("by %s, %v %%: %d of %d, want %.0f", by, percent, got, n, want)
			}
		}
	}
}

// TestWhoHasItKeepsIt: at every larger percentage, with and without its cookie,
// wherever it asks from then. Control: of another version each draws anew.
func TestWhoHasItKeepsIt(t *testing.T) {
	moved := 0
	for i := range 2000 {
		a := Asking{Client: fmt.Sprint("client ", i)}
		before := false
		for _, percent := range []float64{0.5, 1, 5, 10, 50, 90, 100} {
			p := plan(percent)
			p.Sticky = time.Minute
			now := Assign(p, a)
			if before && !now.Staged {
				t.Fatalf("client %d had it, and has it no more at %v %%: %s", i, percent, now.Why)
			}
			if a.Cookie == "" {
				a.Cookie, a.Client = now.Cookie, "another network"
			}
			before = now.Staged
		}
		next := plan(50)
		next.Version = "r2"
		if Assign(plan(50), Asking{Client: fmt.Sprint(i)}).Staged != Assign(next, Asking{Client: fmt.Sprint(i)}).Staged {
			moved++
		}
	}
	if moved < 800 || moved > 1200 {
		t.Errorf("control: %d of 2000 clients have another draw in another version", moved)
	}
}

// TestNobodyChoosesAPlace: a cookie counts as the edge sealed it alone. The
// control is the cookie itself.
func TestNobodyChoosesAPlace(t *testing.T) {
	p := plan(50)
	p.Sticky = time.Minute
	a := Assign(p, Asking{Client: "c"})
	place, ok := p.kept(a.Cookie)
	if !ok || place != p.draw(Asking{Client: "c"}) {
		t.Fatalf("control: %q holds %d, %v", a.Cookie, place, ok)
	}
	other := p
	other.Seed = []byte("another seed")
	for _, bad := range []string{
		"", "r1", "r1.5", "r1.5.", "r2" + strings.TrimPrefix(a.Cookie, "r1"), a.Cookie + "0", a.Cookie[:len(a.Cookie)-1], other.cookie(place),
		p.cookie(draws), "r1.+5." + strings.Split(p.cookie(5), ".")[2], "r1.05." + strings.Split(p.cookie(5), ".")[2],
	} {
		if _, ok := p.kept(bad); ok {
			t.Errorf("%q is believed", bad)
		}
	}
}

// TestTheHeaderOutweighsTheDraw, and who is told nothing keeps nothing.
func TestTheHeaderOutweighsTheDraw(t *testing.T) {
	p := plan(0)
	p.Header, p.Value, p.Sticky = "X-Stage", "yes", time.Minute
	for value, want := range map[string]bool{"yes": true, "no": false, "": false, "yes,yes": false} {
		a := Assign(p, Asking{Header: value})
		if a.Staged != want || a.Cookie != "" || a.Why == "" {
			t.Errorf("%q: %+v", value, a)
		}
	}
}

// FuzzAssign: whatever a stranger's cookie says, a place is one, and a cookie
// that is believed is one that this version's edges made.
func FuzzAssign(f *testing.F) {
	p := plan(50)
	p.Sticky = time.Minute
	f.Add(p.cookie(7), "a")
	f.Add("r1.7.", "")
	f.Fuzz(func(t *testing.T, cookie, client string) {
		if place, ok := p.kept(cookie); ok && (place >= draws || p.cookie(place) != cookie) {
			t.Errorf("%q holds %d", cookie, place)
		}
		a := Assign(p, Asking{Cookie: cookie, Client: client})
		if place, ok := p.kept(a.Cookie); !ok || a.Staged != (place < draws/2) {
			t.Errorf("%q, %q: %+v", cookie, client, a)
		}
	})
}
