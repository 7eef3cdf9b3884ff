package ledger

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian"
)

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name string
		view View
		want Do
	}{
		{"the first", View{Mine: true, Same: true, Left: time.Second}, Run},
		{"another's, under way", View{Same: true, Left: time.Second}, Wait},
		{"another's, under way, and no time", View{Same: true}, Busy},
		{"another's, answered", View{Same: true, Done: true, Kept: true}, Replay},
		{"answered late, after its time", View{Same: true, Done: true, Kept: true, Over: true, Left: time.Second}, Replay},
		{"answered at length", View{Same: true, Done: true, Left: time.Second}, Spent},
		{"never answered", View{Same: true, Over: true, Left: time.Second}, Unknown},
		{"never answered, may have written, its region lost", View{Same: true, Over: true, Gone: true, Again: true}, Unknown},
		{"under way, may have written, its region lost", View{Same: true, Gone: true, Again: true, Left: time.Second}, Wait},
		{"wrote nothing, its region lost", View{Same: true, Gone: true, Clean: true, Again: true, Left: time.Second}, Take},
		{"wrote nothing in its time", View{Same: true, Over: true, Clean: true, Again: true}, Take},
		{"wrote nothing yet, and lives", View{Same: true, Clean: true, Again: true, Left: time.Second}, Wait},
		{"wrote nothing, and is not to be executed again", View{Same: true, Over: true, Gone: true, Clean: true}, Spoiled},
		{"wrote nothing yet, its region lost, and is not to be executed again", View{Same: true, Gone: true, Clean: true, Left: time.Second}, Wait},
		{"wrote nothing, and was answered", View{Same: true, Done: true, Kept: true, Over: true, Clean: true, Again: true}, Replay},
		{"wrote nothing, of another content", View{Over: true, Gone: true, Clean: true, Again: true}, Mismatch},
		{"of another content", View{Left: time.Second}, Mismatch},
		{"of another content, answered", View{Done: true, Kept: true}, Mismatch},
		{"of another content, never answered", View{Over: true}, Mismatch},
	} {
		if d := Decide(tt.view); d.Do != tt.want || d.Why == "" {
			t.Errorf("%s: %+v, want %s", tt.name, d, tt.want)
		}
	}
}

// FuzzDecide: whatever is known, only who has the claim runs, and nobody is shown
// what another asked for.
func FuzzDecide(f *testing.F) {
	f.Add(true, true, false, false, false, false, false, false, int64(0))
	f.Add(false, false, true, true, true, true, true, true, int64(1))
	f.Fuzz(func(t *testing.T, mine, same, done, kept, over, gone, clean, again bool, left int64) {
		v := View{Mine: mine, Same: same, Done: done, Kept: kept, Over: over, Gone: gone, Clean: clean, Again: again, Left: time.Duration(left)}
		d := Decide(v)
		switch {
		case d.Why == "":
			t.Errorf("%+v: no reason", v)
		case (d.Do == Run) != mine:
			t.Errorf("%+v: %+v", v, d)
		case d.Do == Take && !(same && clean && again && !done && (over || gone)):
			t.Errorf("%+v: %+v", v, d)
		case d.Do == Replay && !(same && done && kept):
			t.Errorf("%+v: %+v", v, d)
		case d.Do == Wait && left <= 0:
			t.Errorf("%+v: %+v", v, d)
		}
	})
}

func TestAnAnswerIsKeptWhole(t *testing.T) {
	a := Answer{Status: 201, Header: http.Header{"X-A": {"1", "2"}}, Body: []byte{0, 255, 'x'}, Token: meridian.Token{Database: "d", System: 7, Timeline: 2, LSN: 9, Handle: "0a", Wrote: 8}}
	b, err := decode(a.encode(1 << 10))
	if err != nil {
		t.Fatal(err)
	}
	b.Seen = ""
	if d := cmp.Diff(a, *b); d != "" {
		t.Error(d)
	}
	if a.encode(10) != nil {
		t.Error("what is too large was kept")
	}
}

// FuzzDecode: whatever stands in the table is an answer or an error.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"status":200,"header":{"A":["b"]},"body":"eA==","token":"d:7:1:9"}`))
	f.Add([]byte(`{"status":99}`))
	f.Add([]byte(`{"status":200,"token":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := decode(text)
		if err == nil && (a.Status < 200 || a.Status > 599) {
			t.Errorf("%q: status %d", text, a.Status)
		}
	})
}

// Two lists of parts never have the same sum, however they are cut.
func TestPartsDoNotRunIntoEachOther(t *testing.T) {
	seen := map[Print]string{}
	for _, parts := range [][]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"ab"}, {"a\x001:b"}, {"a", "", "b"}, {}} {
		p := PrintOf(parts...)
		if other, ok := seen[p]; ok {
			t.Errorf("%q and %s", parts, other)
		}
		seen[p] = cmp.Diff(nil, parts)
	}
	if Scope(PrintOf("a")) == sum("scope", "a") {
		t.Error("a print is a scope")
	}
}
