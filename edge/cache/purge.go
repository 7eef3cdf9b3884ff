package cache

import "time"

// A Purge ends the life of stored responses. Exactly one of Path, Prefix and
// Tag is set, but for Everything.
type Purge struct {
	ID string // names it in the log; a purge that comes twice is done once

	Host   string // "" means every host
	Path   string // raw path, all its queries and variants
	Prefix string // raw path up to and with a trailing *, without it
	Tag    string // of Cache-Tag, Surrogate-Key or Cache-Groups; compared without case

	Everything bool

	// Soft makes a response stale in place of removing it: it may still be
	// served while the origin is asked again, or fails.
	Soft bool

	// At is when it was asked for. What was fetched from the origin by a request
	// that began before the purge arrived here is not stored as fresh.
	At time.Time
}
