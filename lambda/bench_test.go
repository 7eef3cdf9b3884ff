package lambda_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"meridian"
	"meridian/lambda"
)

// BenchmarkInvoke is what an invocation costs, the function included: one
// caller at a time, and 16 at once in one process.
func BenchmarkInvoke(b *testing.B) {
	built, err := actor()
	if err != nil {
		b.Fatal(err)
	}
	l, err := lambda.New(lambda.Config{Functions: []lambda.Function{
		{Name: "one", Bundle: built.Dir, Min: 1, Max: 1},
		{Name: "sixteen", Bundle: built.Dir, Min: 1, Max: 1, Concurrency: 16},
	}}, lambda.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- l.Run(ctx, func() { close(ready) }) }()
	<-ready
	for name, callers := range map[string]int{"one": 1, "sixteen": 16} {
		b.Run(name, func(b *testing.B) {
			var all sync.WaitGroup
			work := make(chan struct{})
			for range callers {
				all.Go(func() {
					for range work {
						if _, err := l.Invoke(ctx, meridian.Invocation{ID: "r", Function: name, Event: event("do", "quiet")}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
		})
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
