package postgres

import (
	"github.com/prometheus/client_golang/prometheus"

	"meridian"
)

// metrics are the hop's numbers.
type metrics struct {
	routes   *prometheus.CounterVec
	byRoute  map[string]prometheus.Counter // those of routes
	replicas *prometheus.CounterVec
	logins   *prometheus.CounterVec
	waited   prometheus.Histogram
	away     prometheus.Counter
	probes   prometheus.Counter
	late     prometheus.Counter
	killed   prometheus.Counter
	lent     prometheus.Counter
	moved    prometheus.Counter
	beyond   prometheus.Counter
	stale    prometheus.Counter
	unsure   prometheus.Counter
	doubts   *prometheus.CounterVec
	lost     prometheus.Counter
}

func newMetrics(p *Proxy) (*metrics, error) {
	m := &metrics{
		routes:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_postgres_groups_total", Help: "Groups of messages by where they ran, or why they moved."}, []string{"route"}),
		replicas: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_postgres_replica_groups_total", Help: "Groups of messages that ran in this region, by the PostgreSQL: its own, or a further standby. Counted where there are several."}, []string{"postgres"}),
		logins:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_postgres_logins_total", Help: "Client connections by how their login ended."}, []string{"outcome"}),
		waited:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "meridian_postgres_freshness_wait_seconds", Help: "How long reads waited for the replica.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14)}),
		probes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_probes_total", Help: "How often the primary was asked how far it is."}),
		late:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_late_successes_total", Help: "Successes of PostgreSQL that came while the lease was not valid, and had to wait."}),
		killed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_sessions_killed_total", Help: "Sessions that were told 57P01 because the primary moved and they could not, or their statement ran for too long."}),
		lent:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_connections_lent_total", Help: "Server connections that idle sessions gave back because others waited for one."}),
		moved:    prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_groups_moved_total", Help: "Groups that a primary did not run any more and that were sent again."}),
		beyond:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_lost_tokens_total", Help: "Reads whose token names a position that was lost with an old primary."}),
		unsure:   prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_unconfirmed_successes_total", Help: "Successes of PostgreSQL that had to wait for the word of its standbys."}),
		stale:    prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_stale_reads_total", Help: "Reads that no node could answer as promised and that were answered from the replica, with a warning."}),
		doubts:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_postgres_doubts_total", Help: "Statements that a lost primary did not answer and whose handle was looked for, by what became of them."}, []string{"outcome"}),
		lost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_lost_writes_told_total", Help: "Sessions that were told that their last write is lost with an old primary."}),
		away:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_postgres_primary_away_total", Help: "Statements for which the primary could not be reached."}),
	}
	m.byRoute = map[string]prometheus.Counter{}
	for do, route := range routes {
		m.byRoute[do] = m.routes.WithLabelValues(route)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	for _, c := range []prometheus.Collector{m.routes, m.replicas, m.logins, m.waited, m.away, m.probes, m.late, m.killed, m.lent, m.moved, m.beyond, m.stale, m.unsure, m.doubts, m.lost,
		gauge("meridian_postgres_server_connections", "Connections to the local PostgreSQL, in use and warm.", func() float64 { return float64(p.pool.Stats().Open) }),
		gauge("meridian_postgres_server_connections_idle", "Warm connections to the local PostgreSQL.", func() float64 { return float64(p.pool.Stats().Idle) }),
		gauge("meridian_postgres_queue_length", "Callers that wait for a connection.", func() float64 { return float64(p.pool.Stats().Queued) }),
		gauge("meridian_postgres_replay_lag_seconds", "How far replay is known to be behind; -1 if nothing is known.", func() float64 {
			if lag := p.ReplayLag(); lag >= 0 {
				return lag.Seconds()
			}
			return -1
		}),
	} {
		if err := p.deps.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// The routes are a closed set: where a group ran, or why it moved.
var routes = map[string]string{toNear: "standby", toMain: "primary", doMove: "moved-block", "behind": "behind", "refused": "refused"}

func (m *metrics) routed(do string) { m.byRoute[do].Inc() }

// resolved counts an outcome by what the client was told.
func (m *metrics) resolved(code string) {
	m.doubts.WithLabelValues(string(map[string]meridian.Outcome{"": meridian.Committed, stateCommitted: meridian.Committed, stateUndone: meridian.Lost, stateInDoubt: meridian.Unknown}[code])).Inc()
}

func (m *metrics) login(how string) { m.logins.WithLabelValues(how).Inc() }
