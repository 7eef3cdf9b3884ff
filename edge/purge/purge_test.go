package purge

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian"
	"meridian/edge/cache"
)

// TestWhatAnOperatorMayWrite reads testdata/items.txt: an item, and what it
// means or what is expected in its place.
func TestWhatAnOperatorMayWrite(t *testing.T) {
	f, err := os.Open("testdata/items.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		item, want, ok := strings.Cut(lines.Text(), " => ")
		if !ok || strings.HasPrefix(item, "//") {
			continue
		}
		if got := meaning(Parse(strings.TrimSpace(item))); got != want {
			t.Errorf("%s\n got %s\nwant %s", item, got, want)
		}
	}
}

func meaning(p cache.Purge, err error) string {
	switch {
	case err != nil && meridian.KindOf(err) != meridian.Invalid:
		return "kind " + string(meridian.KindOf(err))
	case err != nil:
		return err.Error()
	case p.Tag != "":
		return "tag " + p.Tag
	case p.Prefix != "":
		return "prefix " + p.Prefix
	}
	return "path " + p.Path
}

func TestAnOrderNamesEachOfItsPurges(t *testing.T) {
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	ps, err := Order{ID: "x", Items: []string{"/a", "#b"}, Host: "API.example.test", Soft: true}.Purges(at)
	want := []cache.Purge{
		{ID: "x/0", Path: "/a", Host: "api.example.test", Soft: true, At: at},
		{ID: "x/1", Tag: "b", Host: "api.example.test", Soft: true, At: at},
	}
	if err != nil || !slices.Equal(ps, want) {
		t.Errorf("got %+v, %v", ps, err)
	}
	for name, o := range map[string]Order{
		"nothing":         {ID: "x"},
		"everything+item": {ID: "x", Everything: true, Items: []string{"/a"}},
		"no id":           {Items: []string{"/a"}},
		"id":              {ID: "a;b", Items: []string{"/a"}},
		"host":            {ID: "x", Items: []string{"/a"}, Host: "https://api.example.test/"},
		"too many":        {ID: "x", Items: slices.Repeat([]string{"/a"}, maxItems+1)},
	} {
		if _, err := o.Purges(at); meridian.KindOf(err) != meridian.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse: whatever is written, what is taken names exactly one thing, as
// requests are compared with it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a", "/a*", "/*", "#tag", "", "*", "/a?b", "/a#b", "/é", "# a", "#A,B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, item string) {
		p, err := Parse(item)
		if err != nil {
			if p != (cache.Purge{}) || meridian.KindOf(err) != meridian.Invalid {
				t.Fatalf("%q: %+v, %v", item, p, err)
			}
			return
		}
		n := 0
		for _, s := range []string{p.Path, p.Prefix, p.Tag} {
			if s != "" {
				n++
			}
			if !visible(s) || strings.Contains(s, "*") {
				t.Fatalf("%q became %q", item, s)
			}
		}
		if n != 1 || p.Everything || p.Host != "" {
			t.Fatalf("%q became %+v", item, p)
		}
	})
}

func named(ids ...string) (out []cache.Purge) {
	for _, id := range ids {
		out = append(out, cache.Purge{ID: id, Path: "/" + id, At: time.Now()})
	}
	return out
}

func ids(ps []cache.Purge) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return strings.Join(out, " ")
}

func TestWhoReadsALogMissesNothingOrKnowsIt(t *testing.T) {
	now := time.Now()
	l := Log{}.With(named("a", "b"), now)
	at := l.Position()
	if missed, more := l.Since(Position{}); ids(missed) != "a b" || more {
		t.Errorf("from the start: %s, %v", ids(missed), more)
	}
	l = l.With(named("b", "c"), now) // b is there already
	if missed, more := l.Since(at); ids(missed) != "c" || more {
		t.Errorf("from b on: %s, %v", ids(missed), more)
	}
	if missed, more := l.Since(l.Position()); len(missed) != 0 || more {
		t.Errorf("from the end: %s, %v", ids(missed), more)
	}
	for i := range 1000 {
		l = l.With(named(fmt.Sprint("more-", i)), now)
	}
	if missed, more := l.Since(at); !more || len(missed) == 0 {
		t.Errorf("a reader that missed 1000 is told of %d and not that there were more", len(missed))
	}
	if _, more := l.Since(Position{}); !more {
		t.Error("who reads a log for the first time is not told what it forgot")
	}
	z := named("z")
	z[0].At = now.Add(2 * retention)
	later := l.With(z, z[0].At)
	if missed, more := later.Since(l.Position()); ids(missed) != "z" || more {
		t.Errorf("after the retention: %s, %v", ids(missed), more)
	}
	if _, more := later.Since(at); !more {
		t.Error("what is too old is forgotten in silence")
	}
	anew := Log{}.With(named("y"), now.Add(time.Minute))
	if missed, more := anew.Since(l.Position()); ids(missed) != "y" || !more {
		t.Errorf("a log that begins anew: %s, %v", ids(missed), more)
	}
}

// TestWhatWasPurgedIsFreshNowhereAfterTheBound checks the horizon against what
// it is for, on every history of seconds: an edge that knows all until sure, a
// purge at some second, an answer of the origin before it. Control, in the same
// test: without the horizon it would be served.
func TestWhatWasPurgedIsFreshNowhereAfterTheBound(t *testing.T) {
	zero, unguarded := time.Now(), 0
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	bound := int(Bound / time.Second)
	for sure := range 30 {
		for now := sure; now < 40; now++ {
			h := Horizon(at(now), at(sure))
			for purged := range now {
				for given := range purged {
					known := sure > purged // then the purge is applied
					fresh := !known && !at(given).Before(h)
					if fresh && now > purged+bound {
						t.Fatalf("sure %d, now %d: what the origin gave at %d and was purged at %d is fresh", sure, now, given, purged)
					}
					if !known && now > purged+bound {
						unguarded++
					}
				}
			}
			if now-sure <= bound && !h.IsZero() {
				t.Fatalf("sure %d, now %d: a horizon although the log was seen lately", sure, now)
			}
		}
	}
	if unguarded == 0 {
		t.Error("no history needs the horizon: this shows nothing")
	}
}

func TestAPurgeIsAppliedOnceByItsID(t *testing.T) {
	calls := 0
	a := NewApplied(func(cache.Purge) int { calls++; return 7 }, time.Now)
	for range 3 {
		if got := a.Apply(named("a", "b")); !slices.Equal(got, []int{7, 7}) {
			t.Errorf("got %v", got)
		}
	}
	a.Note("c")
	a.Apply(named("c"))
	if calls != 2 {
		t.Errorf("the cache was purged %d times, want 2", calls)
	}
	for i := range remembered + 10 {
		a.Note(fmt.Sprint(i))
	}
	if len(a.known) != remembered || len(a.order) != remembered {
		t.Errorf("%d and %d IDs are kept, want %d", len(a.known), len(a.order), remembered)
	}
}

// TestAnEdgeThatKnowsLessDoesNotAnswerWithWhatIsPurged: an edge that applied a
// purge asks one that did not. Control, in the same test: once it knows, or long
// after, it answers as ever.
func TestAnEdgeThatKnowsLessDoesNotAnswerWithWhatIsPurged(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	none := func(cache.Purge) int { return 0 }
	first, shield := NewApplied(none, clock), NewApplied(none, clock)
	if first.Recent() != "" {
		t.Errorf("before any purge: %q", first.Recent())
	}
	purged := now
	first.Apply(named("a"))
	now = now.Add(3 * time.Second)
	if after := shield.After(first.Recent()); after.After(purged) || purged.Sub(after) > 2*time.Millisecond {
		t.Errorf("the shield may answer with what is from %v on, want from the purge", after.Sub(purged))
	}
	shield.Apply(named("a"))
	if after := shield.After(first.Recent()); !after.IsZero() {
		t.Errorf("the shield knows the purge, and keeps off what is older than %v", after)
	}
	for i := range recentMax + 5 {
		first.Note(fmt.Sprint(i))
		shield.Note(fmt.Sprint(i))
	}
	if after := shield.After(first.Recent()); now.Sub(after) > 5*time.Second {
		t.Error("more purges than fit are taken for known")
	}
	now = now.Add(recentFor + time.Second)
	if first.Recent() != "" {
		t.Errorf("long after: %q", first.Recent())
	}
	for _, text := range []string{"x", "x;", "x;-1", "x;99999999999999999999", ";", "*;5"} {
		if shield.After(text).IsZero() {
			t.Errorf("%q is taken for known", text)
		}
	}
}
