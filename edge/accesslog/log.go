package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what an operator may say of an access log.
type Config struct {
	To      string  // a path, or - for standard output
	Format  Format  // "" means JSON
	Sample  float64 // share of the requests that are written; 0 means all
	Secrets bool    // write what Redact would take out
	Cookies bool    // write cookies, without their values unless Secrets

	Size  int64 // bytes of a file; 0 means 100 MiB
	Keep  int   // files beside it; 0 means 5, less means none
	Queue int   // entries that wait for the disk; 0 means 8192
}

// Deps is what the program provides.
type Deps struct {
	Stdout  io.Writer // nil means the process's
	Log     *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// A Log is an access log. Make one with New; Run writes it.
type Log struct {
	cfg   Config
	deps  Deps
	queue chan *Entry
	lines *prometheus.CounterVec // by result
	to    io.WriteCloser
}

// New returns a log, and opens its file: one that cannot be written is a mistake
// to hear of at the start.
func New(cfg Config, deps Deps) (*Log, error) {
	if cfg.Format == "" {
		cfg.Format = JSON
	}
	if cfg.Sample == 0 {
		cfg.Sample = 1
	}
	if cfg.Size == 0 {
		cfg.Size = 100 << 20
	}
	if cfg.Keep == 0 {
		cfg.Keep = 5
	}
	if cfg.Queue == 0 {
		cfg.Queue = 8192
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Stdout == nil {
		deps.Stdout = os.Stdout
	}
	l := &Log{cfg: cfg, deps: deps, queue: make(chan *Entry, cfg.Queue), lines: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_edge_access_log_lines_total", Help: "Lines of the access log: written; dropped, as the disk was too slow; failed, as it could not be written.",
	}, []string{"result"})}
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(l.lines); err != nil {
			return nil, fmt.Errorf("register the access log's metrics: %w", err)
		}
	}
	if cfg.To == "-" {
		l.to = stdout{deps.Stdout}
		return l, nil
	}
	f := &file{path: cfg.To, most: cfg.Size, keep: max(cfg.Keep, 0)}
	l.to = f
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return l, nil
}

type stdout struct{ io.Writer }

func (stdout) Close() error { return nil }

// Wants reports whether the next request is one of the sample. Who does not ask
// writes all.
func (l *Log) Wants() bool { return l.cfg.Sample >= 1 || rand.Float64() < l.cfg.Sample }

// Write takes an entry, which is the log's from then on. It never blocks.
func (l *Log) Write(e *Entry) {
	if !l.cfg.Cookies {
		e.Cookie = ""
	}
	if !l.cfg.Secrets {
		Redact(e)
	}
	select {
	case l.queue <- e:
	default:
		l.lines.WithLabelValues("dropped").Inc()
	}
}

// maxBatch bounds the bytes of one write.
const maxBatch = 256 << 10

// Run writes what comes until ctx is canceled, then what is left.
func (l *Log) Run(ctx context.Context, ready func()) error {
	defer l.to.Close()
	ready()
	w := &writer{log: l}
	for {
		select {
		case e := <-l.queue:
			w.batch(e)
		case <-ctx.Done():
			for len(l.queue) > 0 {
				w.batch(<-l.queue)
			}
			return nil
		}
	}
}

// A writer writes batches, and says at most once a minute that it cannot.
type writer struct {
	log  *Log
	buf  []byte
	said time.Time
}

// batch writes an entry and those that wait behind it.
func (w *writer) batch(e *Entry) {
	l := w.log
	w.buf = appendLine(w.buf[:0], e, l.cfg.Format)
	n := 1
	for len(w.buf) < maxBatch && len(l.queue) > 0 {
		w.buf = appendLine(w.buf, <-l.queue, l.cfg.Format)
		n++
	}
	if _, err := l.to.Write(w.buf); err != nil {
		l.lines.WithLabelValues("failed").Add(float64(n))
		if now := time.Now(); now.Sub(w.said) > time.Minute && !errors.Is(err, context.Canceled) {
			w.said = now
			l.deps.Log.Warn("the access log could not be written", "to", l.cfg.To, "lines", n, "error", err)
		}
		return
	}
	l.lines.WithLabelValues("written").Add(float64(n))
}
