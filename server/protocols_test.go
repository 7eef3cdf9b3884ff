package server

import "testing"

func TestConnectionsLeaveFilesToAllElse(t *testing.T) {
	for _, tt := range []struct {
		said  int
		files uint64
		want  int
	}{{0, 20_000, 18_000}, {0, 1 << 40, 200_000}, {50, 20_000, 50}} {
		if got := connections(tt.said, tt.files); got != tt.want {
			t.Errorf("connections(%d, %d) = %d, want %d", tt.said, tt.files, got, tt.want)
		}
	}
}
