package classify_test

import (
	"testing"

	"meridian/postgres/classify"
)

const typical = "select id, title, body from articles where author = $1 and published_at < $2 order by published_at desc limit $3"

func TestAHitAllocatesNothing(t *testing.T) {
	c := classify.NewCache()
	text := []byte(typical)
	c.Classify(text)
	if n := testing.AllocsPerRun(100, func() { c.Classify(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
