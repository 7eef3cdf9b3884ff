package instance

import (
	"slices"
	"testing"
)

// TestTermsHaveNoEndInALife asks which timelines are reserved late in the life
// of a database: only the ancestors, and what terms grew by since the last
// promotion.
func TestTermsHaveNoEndInALife(t *testing.T) {
	h := history{{Timeline: 1, End: 100}, {Timeline: 70_000, End: 200}}
	for _, c := range []struct {
		h    history
		now  uint32
		term uint64
		want []uint32
	}{
		{nil, 1, 2, nil}, {nil, 1, 5, []uint32{2, 3, 4}},
		{h, 1_000_000, 1_000_001, []uint32{70_000, 1_000_000}},
		{h, 1_000_000, 1_000_003, []uint32{70_000, 1_000_000, 1_000_001, 1_000_002}},
	} {
		if got := c.h.row(c.now, c.term); !slices.Equal(got, c.want) {
			t.Errorf("from timeline %d to %d: %v, want %v", c.now, c.term, got, c.want)
		}
	}
	in := &Instance{}
	for _, term := range []uint64{maxReserved + 2, 1 << 32} {
		if err := in.reserve(1, term); err == nil {
			t.Errorf("term %d is reserved from timeline 1", term)
		}
	}
}
