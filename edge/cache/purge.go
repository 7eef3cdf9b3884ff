package cache

import "time"

// A Purge ends the life of stored responses. Exactly one of Path, Prefix and
// Tag is set, but for Everything.
type Purge struct {
	ID string `json:"id"` // names it in the log; a purge that comes twice is done once

	Host   string `json:"host,omitempty"`   // "" means every host
	Path   string `json:"path,omitempty"`   // raw path, all its queries and variants
	Prefix string `json:"prefix,omitempty"` // raw path up to and with a trailing *, without it
	Tag    string `json:"tag,omitempty"`    // of Cache-Tag, Surrogate-Key or Cache-Groups; compared without case

	Everything bool `json:"everything,omitempty"`

	// Soft makes a response stale in place of removing it: it may still be
	// served while the origin is asked again, or fails.
	Soft bool `json:"soft,omitempty"`

	// At is when it was asked for. What was fetched from the origin by a request
	// that began before the purge arrived here is not stored as fresh.
	At time.Time `json:"at"`
}
