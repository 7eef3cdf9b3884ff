package classify_test

import (
	"fmt"
	"reflect"
	"strings"
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
	often, once := []byte(typical), []byte("select once from articles")
	c.Classify(often)
	before, forgotten := c.Classify(often), c.Classify(once)
	for i := range 200_000 {
		c.Classify(fmt.Appendf(nil, "select a%d from articles", i))
	}
	if c.Classify(often) != before {
		t.Error("a text that comes often was put out")
	}
	if c.Classify(once) == forgotten {
		t.Error("the control: a text that came once is remembered")
	}
}

// TestTextsThatDifferByNumbersShareAVerdict and those that differ by more do not.
func TestTextsThatDifferByNumbersShareAVerdict(t *testing.T) {
	const of = "SELECT abalance FROM accounts WHERE aid = 17 and state = 'open 1'"
	cases := []struct {
		text string
		like bool
	}{
		{"SELECT abalance FROM accounts WHERE aid = 4711 and state = 'open 1'", true},
		{"SELECT abalance FROM accounts WHERE aid = 4711 and state = 'open 2'", false},
		{"SELECT abalance FROM accounts1 WHERE aid = 17 and state = 'open 1'", false},
		{"SELECT abalance FROM accounts WHERE aid = 1.7 and state = 'open 1'", false},
		{"SELECT abalance FROM accounts WHERE aid = $1 and state = 'open 1'", false},
	}
	for _, tc := range cases {
		c := classify.NewCache()
		if v := c.Classify([]byte(of)); (c.Classify([]byte(tc.text)) == v) != tc.like {
			t.Errorf("%s: shared is not %v", tc.text, tc.like)
		}
	}
	c := classify.NewCache()
	texts := make([][]byte, 101)
	for i := range texts {
		texts[i] = fmt.Appendf(nil, "select %d from articles", i)
	}
	c.Classify(texts[0])
	if n := testing.AllocsPerRun(100, func() { c.Classify(texts[len(texts)-1]); texts = texts[:len(texts)-1] }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOneRefusedTextRefusesNoOther, though it has the shape of others that were
// judged before, and after.
func TestOneRefusedTextRefusesNoOther(t *testing.T) {
	c := classify.NewCache()
	text := func(n int) []byte { return fmt.Appendf(nil, "select a from t where b = %d", n) }
	c.Classify(text(1))
	c.Refused(text(2), "a standby said no")
	for i := range 5 {
		if v := c.Classify(text(2)); v.Where != classify.Primary {
			t.Errorf("the refused text is not: %s", v.Why)
		}
		if v := c.Classify(text(i + 10)); v.Where != classify.Standby {
			t.Errorf("another one is refused: %s", v.Why)
		}
	}
}

// FuzzShape compares verdicts by shape with those on the texts themselves.
func FuzzShape(f *testing.F) {
	for _, s := range []string{"select 1", "select 12 from t3 where 'a4' = \"b5\"", "set x = 1", "prepare p as select 1", "/* meridian: consistency=bounded(1ms) */ select 1", "execute p(1)", "select set_config('a', '1', false), 2", "select 1; select 2",
		"select $1, 5", "select e'1', 2", "select 1e5, 0x1f", "begin; select 1", "select nextval('s'), 1", "select -1 -- 2", "select 1/**/", "select pg_terminate_backend(1)"} {
		f.Add(s, "7", "90210")
	}
	names := &classify.Names{Known: map[string]bool{"count": true}}
	digits := func(s string) string {
		return "1" + strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, s)
	}
	f.Fuzz(func(t *testing.T, text, a, b string) {
		c := classify.NewCache()
		c.SetNames(names)
		for _, n := range []string{digits(a), digits(b)} {
			one := []byte(strings.ReplaceAll(text, "1", n))
			got, want := *c.Classify(one), *classify.Classify(one, names)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %+v, by itself %+v", one, got, want)
			}
		}
	})
}
