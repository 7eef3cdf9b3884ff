package classify_test

import (
	"fmt"
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

// TestTextsThatComeOncePutOutNoOther asks for a text twice, then for very many
// others. Control: a text that came once itself is forgotten.
func TestTextsThatComeOncePutOutNoOther(t *testing.T) {
	c := classify.NewCache()
	often, once := []byte(typical), []byte("select 1")
	c.Classify(often)
	before, forgotten := c.Classify(often), c.Classify(once)
	for i := range 200_000 {
		c.Classify(fmt.Appendf(nil, "select %d from articles", i))
	}
	if c.Classify(often) != before {
		t.Error("a text that comes often was put out")
	}
	if c.Classify(once) == forgotten {
		t.Error("the control: a text that came once is remembered")
	}
}
