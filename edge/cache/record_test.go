package cache

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestARecordReadsAsItWasWritten, and what is a record's is checked by its own
// fuzz target.
func TestARecordReadsAsItWasWritten(t *testing.T) {
	now := time.Now()
	h := http.Header{"Cache-Control": {`max-age=60, private="x, y", stale-if-error=5`}, "X\xff": {"\x00\xfe", ""}, "Vary": {"Foo"}}
	d, targeted := controls(h)
	o := &object{
		status: 203, proto: [2]int{2, 0}, header: h, directives: d, life: lifetimeOf(203, h, d, targeted, Default(), now), selector: selectorOf(h, headers("Foo: a, b")),
		version: tokensOf([]string{"db:1f:2:0,other:3:4:5"}), told: tokensOf([]string{"db:1f:2:77"}), host: "A.test", path: "/x%2F", tags: []string{"a", "b"},
		began: now.Add(-time.Second), received: now, age: 7, delay: 9, shared: true, size: -1, body: wholeStream(nil, http.Header{"T": {"1"}}), announced: http.Header{"T": nil},
	}
	b := record("key", o)
	got, l, trailer, err := parseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	got.body = wholeStream(nil, trailer)
	if again := record("key", got); !bytes.Equal(again, b) || fmt.Sprint(l) != fmt.Sprint(label("key", o)) {
		t.Errorf("%q\n%q", b, again)
	}
	if int64(len(b)) > o.headSize() {
		t.Errorf("%d bytes, more than %d", len(b), o.headSize())
	}
	if fmt.Sprint(got.directives) != fmt.Sprint(d) || !got.received.Equal(now) || got.version.String() != o.version.String() || got.told.String() != o.told.String() {
		t.Errorf("%+v", got)
	}
}

// FuzzRecord checks that what is read as a record is written as it was read.
func FuzzRecord(f *testing.F) {
	o := &object{status: 200, header: http.Header{"Etag": {`"1"`}}, host: "a", path: "/x", tags: []string{"t"}, selector: selector{{"Foo", "1"}}, body: wholeStream(nil, nil), told: tokensOf([]string{"db:1:2:3"})}
	f.Add(record("k", o))
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, _, trailer, err := parseRecord(b)
		if err != nil {
			return
		}
		o.body = wholeStream(nil, trailer)
		again, l, _, err := parseRecord(append(append([]byte{recordVersion}, b[1:17]...), record("", o)[17:]...))
		if err != nil || again.path != o.path || l.Variant != o.selector.hash() || again.life != o.life {
			t.Errorf("%+v, then %+v: %v", o, again, err)
		}
	})
}
