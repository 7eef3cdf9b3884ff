package backup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	files    prometheus.Counter
	backups  prometheus.Counter
	failures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, deps Deps, state func() State) metrics {
	labels := prometheus.Labels{"region": string(deps.Region), "database": deps.Database}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help string, value func(State) float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return value(state()) })
	}
	m := metrics{
		files:    counter("meridian_backup_log_files_total", "Files of the log that this region sent to the archive."),
		backups:  counter("meridian_backup_bases_total", "Base backups that this region made."),
		failures: counter("meridian_backup_failures_total", "Tries to archive the log or to make a base backup that failed."),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.files, m.backups, m.failures,
		gauge("meridian_backup_failing", "1 while the last try to archive the log or to make a base backup failed.", func(s State) float64 {
			if s.Error != "" {
				return 1
			}
			return 0
		}),
		gauge("meridian_backup_archived_timestamp_seconds", "All of the log that there was at this time is in the archive; 0: never.", func(s State) float64 { return seconds(s.Archived) }),
		gauge("meridian_backup_base_timestamp_seconds", "When the newest base backup ended; 0: there is none.", func(s State) float64 { return seconds(s.Newest) }))
	return m
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
