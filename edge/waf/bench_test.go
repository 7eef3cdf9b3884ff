package waf

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// from is a request of 192.0.2.client, dear or cheap.
func from(client int, dear bool) Request {
	r := request("POST", "/x")
	r.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(client)}), 1234)
	if dear {
		r.Body = []byte(strings.Repeat("x", 64<<10))
	}
	return r
}

// TestSoManyAreJudgedAtOnce counts those that are, of a flood of both kinds.
func TestSoManyAreJudgedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBench(time.Hour)
		var mu sync.Mutex
		var now, most [2]int
		count := func(kind, n int) {
			mu.Lock()
			defer mu.Unlock()
			now[kind] += n
			most[kind] = max(most[kind], now[kind])
		}
		var all sync.WaitGroup
		for i := range 400 {
			all.Go(func() {
				leave, err := b.Sit(t.Context(), from(i%7, i%2 == 1))
				if err != nil {
					t.Error(err)
				}
				defer leave()
				count(i%2, 1)
				time.Sleep(time.Second)
				count(i%2, -1)
			})
		}
		all.Wait()
		cores := runtime.GOMAXPROCS(0)
		if most[0] != cores || most[1] != max(1, cores/2) {
			t.Errorf("%d cheap and %d dear at once, with %d cores", most[0], most[1], cores)
		}
	})
}

// Who has one request is not kept waiting by who has a hundred, and what is cheap
// not by what is dear.
func TestClientsAreJudgedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bench{patience: time.Hour, dear: seats{free: 1}, cheap: seats{free: 1}}
		held, _ := b.Sit(t.Context(), from(1, true))
		var order []string
		wait := func(client int) {
			go func() {
				leave, _ := b.Sit(t.Context(), from(client, true))
				order = append(order, fmt.Sprint(client))
				leave()
			}()
			synctest.Wait()
		}
		for range 5 {
			wait(1)
		}
		wait(2)
		wait(3)
		if leave, err := b.Sit(t.Context(), from(4, false)); err != nil {
			t.Error(err)
		} else {
			leave()
		}
		held()
		synctest.Wait()
		if want := strings.Split("1231111", ""); !slices.Equal(order, want) {
			t.Errorf("in the order %v, want %v", order, want)
		}
	})
}

// Who stops waiting leaves no trace, also if a seat came in that moment.
func TestWhoGivesUpTakesNoSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bench{patience: time.Second, dear: seats{free: 1}}
		held, _ := b.Sit(t.Context(), from(1, true))
		for range 3 {
			if _, err := b.Sit(t.Context(), from(2, true)); err != context.DeadlineExceeded {
				t.Errorf("waited and got %v", err)
			}
		}
		if len(b.dear.turn)+len(b.dear.waiting) > 0 {
			t.Errorf("still waiting: %v", b.dear.turn)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			leave, err := b.Sit(ctx, from(2, true))
			if err == nil {
				leave()
			}
			done <- err
		}()
		synctest.Wait()
		cancel()
		held()
		<-done
		if b.dear.free != 1 {
			t.Errorf("%d seats are free, want 1", b.dear.free)
		}
	})
}

func TestWhatIsDear(t *testing.T) {
	body := func(s string) Request { r := request("POST", "/x"); r.Body = []byte(s); return r }
	cookies := request("GET", "/")
	cookies.Header.Set("Cookie", strings.Repeat("a=1; ", 200))
	for name, tt := range map[string]struct {
		r    Request
		want bool
	}{
		"a page": {request("GET", "/articles?tag=go&page=2"), false}, "a write": {body(`{"article": {"title": "Hello", "body": "` + strings.Repeat("fine ", 300) + `"}}`), false},
		"a text": {body(strings.Repeat("x", 64<<10)), true}, "a form of many": {body(strings.Repeat("a=1&", 500)), true}, "JSON of many": {body("{" + strings.Repeat(`"a":1,`, 400) + `"a":1}`), true},
		"a query of many": {request("GET", "/?"+strings.Repeat("a=1&", 500)), true}, "many cookies": {cookies, true},
	} {
		if got := Dear(tt.r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
