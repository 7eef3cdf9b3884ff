package history_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian/test/history"
)

// TestList runs the scripts in testdata/list: a history, and what is wrong
// with it. go test -rewrite writes what was found.
func TestList(t *testing.T) {
	datadriven.Walk(t, "testdata/list", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			h, err := history.Parse(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			got := history.List(h, history.Options{Process: d.HasArg("process"), Realtime: d.HasArg("realtime")})
			if len(got) == 0 {
				return "nothing\n"
			}
			var b strings.Builder
			for _, a := range got {
				b.WriteString(a.Name + ": " + a.Text + "\n")
			}
			return b.String()
		})
	})
}

// FuzzParse: what Parse takes, Format writes so that Parse takes it for the
// same, and no history brings the checks down.
func FuzzParse(f *testing.F) {
	f.Add("p3@eu-west-1 12..250 ok: append x 7; read y [1 2]\np1 0.. unknown: append x 8 # never answered")
	f.Add("p0 1..1 failed:")
	f.Add("p0 1..2 ok: read x [1]; append x 2; append x 2\np0 2..3 ok: read x [1 1]")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := history.Parse(text)
		if err != nil || len(h) > 50 {
			return
		}
		again, err := history.Parse(history.Format(h))
		if err != nil {
			t.Fatalf("%v\n%s", err, history.Format(h))
		}
		if history.Format(again) != history.Format(h) {
			t.Fatalf("%s\nis read as\n%s", history.Format(h), history.Format(again))
		}
		one, two := history.List(h, history.Options{Process: true, Realtime: true}), history.List(h, history.Options{Process: true, Realtime: true})
		if !slices.EqualFunc(one, two, func(a, b history.Anomaly) bool { return a.Text == b.Text }) {
			t.Fatalf("%v, and then %v", one, two)
		}
	})
}
