package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"time"

	"meridian/test/conduit"
)

// drive registers the callers, then starts steps at a steady rate for so long,
// and waits for the last.
// A step for which no caller is free waits; how late it starts counts as its
// own figure, so that a slow world cannot hide by being asked less.
func drive(ctx context.Context, edges []edge, duration time.Duration, rate float64, callers int, report *report) error {
	free := make(chan *caller, callers)
	for i := range callers {
		c, err := newCaller(edges, report)
		if err != nil {
			return err
		}
		defer c.close()
		if err := c.register(ctx, i%len(edges)); err != nil && !c.unsure {
			return err
		}
		free <- c
	}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	due := time.Now()
	clock := time.NewTimer(0)
	defer clock.Stop()
	var steps sync.WaitGroup
	defer steps.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case c := <-free:
			report.late(time.Since(due))
			steps.Go(func() {
				c.step(context.WithoutCancel(ctx))
				free <- c
			})
		}
		due = due.Add(time.Duration(float64(time.Second) / rate))
		clock.Reset(time.Until(due))
	}
}

// A caller is one user with one jar, who asks at a random edge each time. The
// steps of one caller follow each other.
type caller struct {
	doors  []*conduit.Client
	names  []string
	report *report

	name   string
	token  string
	posts  []post // articles of this caller, the newest last
	unsure bool   // whether the last write was done
}

// A post is what the caller knows of an article of its own.
type post struct {
	slug, body string
	favorited  bool
}

// keptPosts bounds what a caller leaves in the database.
const keptPosts = 8

func newCaller(edges []edge, report *report) (*caller, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &caller{report: report}
	for _, e := range edges {
		door, err := conduit.At(e.Endpoint, jar)
		if err != nil {
			return nil, err
		}
		c.doors, c.names = append(c.doors, door), append(c.names, e.name)
	}
	return c, nil
}

func (c *caller) close() {
	for _, door := range c.doors {
		door.Close()
	}
}

// ask sends one request at one edge and notes how it went. It returns nil if
// the answer is missing or has another status than want.
func (c *caller) ask(ctx context.Context, at int, op string, want int, method, path string, body any) *conduit.Answer {
	start := time.Now()
	a, err := c.doors[at].As(c.token).Do(ctx, method, path, body)
	if err == nil && c.report.faults && told(method, a) {
		c.unsure = c.unsure || method != http.MethodGet
		c.report.told(op, c.names[at], time.Since(start))
		return nil
	}
	if err == nil && a.Status != want {
		err = fmt.Errorf("want %d: %v", want, a)
	}
	c.report.add(op, c.names[at], time.Since(start), err)
	if err != nil {
		return nil
	}
	return a
}

// told reports whether an answer says that the world could not do what it was
// asked for, or, of a write, that it does not know. 503 without Retry-After is
// what a gateway answers for a function that ran out of its time, as one does
// that wrote when the way to the primary broke.
func told(method string, a *conduit.Answer) bool {
	switch a.Status {
	case http.StatusServiceUnavailable:
		return method != http.MethodGet || a.Header.Get("Retry-After") != ""
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return method != http.MethodGet
	}
	return false
}

// expect notes an answer that is not what this caller's own writes make it.
func (c *caller) expect(at int, op string, a *conduit.Answer, path string, want any) {
	if a == nil {
		return
	}
	if got, _ := a.Get(path); got != want {
		c.report.wrong(op, c.names[at], fmt.Errorf("%s is %v, want %v: %v", path, got, want, a))
	}
}

// two returns an edge to write at, and another one to read at.
func (c *caller) two() (write, read int) {
	write = rand.IntN(len(c.doors))
	if len(c.doors) == 1 {
		return write, write
	}
	return write, (write + 1 + rand.IntN(len(c.doors)-1)) % len(c.doors)
}
