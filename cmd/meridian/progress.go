package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"meridian/world"
)

// progress prints one line for each part as it becomes ready.
type progress struct {
	begin time.Time

	mu  sync.Mutex // guards what follows
	out io.Writer
}

func (p *progress) line(x world.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := fmt.Sprintf("%6.1fs", time.Since(p.begin).Seconds())
	what := x.Part
	if x.Node != "" {
		what = fmt.Sprintf("%-22s %s", x.Node, x.Part)
	}
	switch {
	case x.Note != "":
		fmt.Fprintf(p.out, "%s  %s %s\n", at, what, x.Note)
	case x.Took >= time.Millisecond:
		fmt.Fprintf(p.out, "%s  %s (%v)\n", at, what, x.Took.Round(time.Millisecond))
	default:
		fmt.Fprintf(p.out, "%s  %s\n", at, what)
	}
}
