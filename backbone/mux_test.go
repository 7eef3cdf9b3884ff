package backbone

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// A recorder is a connection that keeps each Write apart.
type recorder struct {
	net.Conn
	writes [][]byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(b))
	return len(b), nil
}

func TestFrameGoesOutWhole(t *testing.T) {
	data := []byte{0, typeData, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}
	window := []byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0} // has a length, and no body
	fin := []byte{0, typeData, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0}
	rec := &recorder{}
	w := newWire(rec)
	for _, b := range [][]byte{window, data, []byte("hi"), fin} {
		if n, err := w.Write(b); n != len(b) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	want := [][]byte{window, append(bytes.Clone(data), "hi"...), fin}
	if len(rec.writes) != len(want) {
		t.Fatalf("%d writes, want %d", len(rec.writes), len(want))
	}
	for i := range want {
		if !bytes.Equal(rec.writes[i], want[i]) {
			t.Errorf("write %d = %v, want %v", i, rec.writes[i], want[i])
		}
	}
}

func TestLinkIsPingedWhenThatTellsSomething(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	for _, tt := range []struct {
		name        string
		heard, said time.Duration // ago
		want        bool
	}{
		{"just heard", 10 * ms, time.Hour, false},
		{"answered", 400 * ms, 450 * ms, false},
		{"just asked", time.Second, 10 * ms, false},
		{"asked and not answered", time.Second, 400 * ms, true},
		{"quiet", idlePing - ms, time.Hour, false},
		{"idle", idlePing, time.Hour, true},
	} {
		w := newWire(nil)
		w.heard.Store(ago(tt.heard))
		w.said.Store(ago(tt.said))
		if got := w.wantsPing(now, idlePing); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
