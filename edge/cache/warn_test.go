package cache

import (
	"fmt"
	"testing"
	"time"
)

// A flight that hangs while a thousand writes to its path go by keeps one note
// of them, and another of what is aimed otherwise.
func TestAFlightIsToldTheSamePurgeOnce(t *testing.T) {
	f := &flight{host: "a.test", path: "/items"}
	c := &Cache{flights: map[string][]*flight{"k": {f}}}
	for i := range 1000 {
		c.warn(Purge{ID: fmt.Sprint(i), At: time.Unix(int64(i), 0), Host: "a.test", Path: "/items"}, nil)
	}
	c.warn(Purge{Host: "a.test", Path: "/items", Soft: true}, nil)
	c.warn(Purge{Host: "a.test", Path: "/others"}, nil)
	if len(f.purges) != 2 || !f.purged() {
		t.Errorf("%d purges are noted, want 2", len(f.purges))
	}
}
