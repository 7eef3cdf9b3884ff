package placement

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// window is how many requests a mean remembers. A route whose requests change
// is found out within so many.
const window = 20

// Seen is what was learned of the requests of a route.
type Seen struct {
	Mean   float64 // trips
	Weight float64 // requests that the mean stands for, at most window
}

// Add returns s with one more request: a plain mean at first, then an
// exponentially weighted one.
func (s Seen) Add(trips float64) Seen {
	s.Weight = min(s.Weight+1, window)
	s.Mean += (trips - s.Mean) / s.Weight
	return s
}

// basis says what an expectation rests on.
func (s Seen) basis(method string) string {
	switch {
	case s.Weight == 0 && safe(method):
		return "the method, which asks for no change"
	case s.Weight == 0:
		return "the method, which may write"
	case s.Weight < window:
		return fmt.Sprintf("the method and %.0f seen, mean %.2f", s.Weight, s.Mean)
	}
	return fmt.Sprintf("the last %d seen, mean %.2f", window, s.Mean)
}

// A Key names what is learned together.
type Key struct {
	Route  string // its key, of a closed set
	Method string // see KeyOf
}

// KeyOf returns the key of a request. Methods that HTTP does not name count as
// one, since strangers may make up any number.
func KeyOf(route, method string) Key {
	if !slices.Contains(named, method) {
		method = "other"
	}
	return Key{route, method}
}

var named = []string{
	http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// maxTrips bounds what one request can teach.
const maxTrips = 100

// A Book holds what was learned of all routes, and what the primary said of
// its load. Its methods may be called by many goroutines at once.
type Book struct {
	mu     sync.Mutex // guards what follows
	routes map[Key]*page
	loads  map[string]heard // by function
}

type page struct {
	seen Seen
	turn uint64
}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{routes: map[Key]*page{}, loads: map[string]heard{}} }

func (b *Book) page(k Key) *page {
	p := b.routes[k]
	if p == nil {
		p = &page{}
		b.routes[k] = p
	}
	return p
}

// Open returns what is known of a route, and counts the request that asks.
func (b *Book) Open(k Key) (s Seen, turn uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.page(k)
	p.turn++
	return p.seen, p.turn
}

// Learn notes how many trips a request took at home, or would have.
func (b *Book) Learn(k Key, trips int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.page(k)
	p.seen = p.seen.Add(float64(min(max(trips, 0), maxTrips)))
}

// Keep forgets the routes that are gone.
func (b *Book) Keep(known func(route string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.routes {
		if !known(k.Route) {
			delete(b.routes, k)
		}
	}
}

// halfLife is how long half of a load is believed for. When its price keeps
// all requests away nobody brings news of it, and it must not stand for ever.
const halfLife = 2 * time.Second

// heard is a load, and when it was told.
type heard struct {
	load float64
	at   time.Time
}

// Hear notes a load of the primary's, for a function.
func (b *Book) Hear(function string, load float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loads[function] = heard{load, now}
}

// Load returns the primary's load for a function as it is believed now.
func (b *Book) Load(function string, now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.loads[function]
	return fade(h.load, now.Sub(h.at))
}
