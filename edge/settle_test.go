package edge

import (
	"errors"
	"testing"

	"meridian/internal/framing"
)

// A late reader says what is wrong once it is let go.
type late struct{ began, goOn chan struct{} }

func (l late) Read([]byte) (int, error) {
	close(l.began)
	<-l.goOn
	return 0, framing.ErrMalformed
}

// TestWhatIsWrongWithABodyIsWaitedFor asks why a body ended while it is being read.
func TestWhatIsWrongWithABodyIsWaitedFor(t *testing.T) {
	l := late{make(chan struct{}), make(chan struct{})}
	b := &body{src: l, max: 1 << 10, keep: 1 << 10}
	go b.reader().Read(make([]byte, 1)) // settle waits for it
	<-l.began
	if b.failure() != nil { // the control: it is not known yet
		t.Error("it is known already")
	}
	close(l.goOn)
	if b.settle(); !errors.Is(b.failure(), framing.ErrMalformed) {
		t.Errorf("%v", b.failure())
	}
}
