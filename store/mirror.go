package store

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A mirror holds the newest view, tells watchers, and keeps the copy on disk.
type mirror struct {
	file  string
	log   *slog.Logger
	stats metrics

	mu      sync.Mutex // guards what follows
	view    *View
	changed chan struct{} // closed when view is replaced
}

func newMirror(dir string, deps *Deps) (*mirror, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &mirror{
		file: filepath.Join(dir, "copy"), log: deps.Log.With("hop", "store"), stats: newMetrics(deps.Metrics),
		view: &View{}, changed: make(chan struct{}),
	}, nil
}

func (m *mirror) Now() *View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view
}

func (m *mirror) Watch() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// apply makes the view after c the newest, if that is news.
func (m *mirror) apply(c change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, news := m.view.apply(c)
	if !news {
		return
	}
	m.view = v
	close(m.changed)
	m.changed = make(chan struct{})
	m.stats.revision.Set(float64(v.rev))
}

// await returns when the view has reached rev, or ctx ends.
func (m *mirror) await(ctx context.Context, rev int64) {
	for {
		changed := m.Watch()
		if m.Now().Rev() >= rev {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// restore takes the copy on disk as the first view, and reports whether there
// was one. A copy that is not whole is refused and left for people to look at.
func (m *mirror) restore() bool {
	v, err := load(m.file)
	switch {
	case err == nil:
		m.apply(v.whole())
		m.log.Info("started from the copy on disk", "file", m.file, "rev", v.rev, "keys", len(v.entries))
		return true
	case os.IsNotExist(err):
		return false
	}
	m.stats.refused.Inc()
	m.log.Error("copy on disk refused", "file", m.file, "err", err)
	return false
}

// savePause is how often the copy on disk follows the view at most.
const savePause = time.Second

// keep writes each newer view to disk until ctx is canceled, and then the last.
func (m *mirror) keep(ctx context.Context) {
	saved := m.Now()
	for ctx.Err() == nil {
		changed := m.Watch()
		saved = m.save(saved)
		select {
		case <-changed:
		case <-ctx.Done():
			continue
		}
		pause(ctx, savePause)
	}
	m.save(saved)
}

// save writes the newest view if it is not saved yet, and returns what is.
func (m *mirror) save(saved *View) *View {
	v := m.Now()
	if v == saved || v.rev == 0 {
		return saved
	}
	if err := save(m.file, v); err != nil {
		m.log.Error("copy not written; a restart without the cluster would start from an older one", "err", err)
		return saved
	}
	return v
}

type metrics struct {
	revision  prometheus.Gauge
	connected prometheus.Gauge
	refused   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		revision: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_store_revision", Help: "Revision of the newest view of the store on this node.",
		}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_store_connected", Help: "1 while the view follows the cluster, 0 while it is the last good copy.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_store_copies_refused_total", Help: "Copies on disk that were not whole.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.revision, m.connected, m.refused)
	}
	return m
}
