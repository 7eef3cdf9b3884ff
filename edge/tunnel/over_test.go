package tunnel

import (
	"io"
	"sync/atomic"
	"testing"
)

// ended is an end that says nothing more, and counts how often it was closed.
type ended struct{ closed atomic.Int32 }

func (e *ended) Read([]byte) (int, error)    { return 0, io.EOF }
func (e *ended) Write(b []byte) (int, error) { return len(b), nil }
func (e *ended) Close() error                { e.closed.Add(1); return nil }

// TestNothingIsTouchedOnceATunnelIsOver: Run returns when both ends are closed,
// and not before. An engine's stream ends with its handler, and whoever closes it
// later brings the node down.
func TestNothingIsTouchedOnceATunnelIsOver(t *testing.T) {
	for range 2000 {
		var viewer, origin ended
		Run(t.Context(), Config{}, &viewer, &origin)
		if viewer.closed.Load() != 1 || origin.closed.Load() != 1 {
			t.Fatalf("closed %d and %d times when the tunnel was over", viewer.closed.Load(), origin.closed.Load())
		}
	}
}
