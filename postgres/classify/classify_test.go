package classify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian/postgres/classify"
)

// TestClassify runs the scripts in testdata. "names" gives what the catalogues
// say; "classify" gives one text a line, or one in all with the argument
// "text". go test -rewrite writes the verdicts.
func TestClassify(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		names := &classify.Names{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch {
			case d.Cmd == "names":
				names = parseNames(d.Input)
				return ""
			case d.HasArg("text"):
				return describe(classify.Classify([]byte(d.Input), names))
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				out.WriteString(describe(classify.Classify([]byte(strings.TrimSuffix(line, "\n")), names)))
			}
			return out.String()
		})
	})
}

func parseNames(in string) *classify.Names {
	n := &classify.Names{Known: map[string]bool{}, Reaches: map[string]string{}}
	for line := range strings.Lines(in) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "known" {
			for f := range strings.FieldsSeq(rest) {
				n.Known[f] = true
			}
			continue
		}
		n.Reaches[verb] = rest
	}
	return n
}

func describe(v *classify.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Where, v.Why)
	if v.Block != classify.NoBlock {
		fmt.Fprintf(&b, " [%s]", [...]string{"", "begin", "end", "inside", "scripted", "aside"}[v.Block])
	}
	if v.Execute != "" {
		fmt.Fprintf(&b, " [execute %s]", v.Execute)
	}
	if len(v.Uses) > 0 && (len(v.Uses) > 1 || v.Uses[0] != v.Execute) {
		fmt.Fprintf(&b, " [uses %s]", strings.Join(v.Uses, ", "))
	}
	for _, e := range v.Effects {
		fmt.Fprintf(&b, " {%s %s}", e.Act, e.Name)
		if e.Name == classify.Consistency {
			fmt.Fprintf(&b, " = %q", e.Text)
		}
	}
	if v.Consistency != nil {
		fmt.Fprintf(&b, " [%s]", v.Consistency)
	}
	if v.Invalid != nil {
		fmt.Fprintf(&b, " [invalid: %s]", *v.Invalid)
	}
	return b.String() + "\n"
}

// FuzzClassify checks that no text breaks the lexer, that a verdict always has
// a reason, and that a plain read never holds a word that writes.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"select 1", "select $a$;$a$", "/* /* */ */ select 1", `select E'\'' ; insert into t values (1)`, "begin;commit"} {
		f.Add(s)
	}
	names := &classify.Names{Known: map[string]bool{"count": true}}
	f.Fuzz(func(t *testing.T, text string) {
		v := classify.Classify([]byte(text), names)
		if v.Why == "" {
			t.Errorf("%q: no reason", text)
		}
		// Whatever stands before it, a statement after a plain semicolon is seen.
		if w := classify.Classify([]byte("select 1; delete from t; "+text), names); w.Where != classify.Primary {
			t.Errorf("%q hides a write before it: %s", text, w.Why)
		}
	})
}

func TestCacheForgetsWithItsNames(t *testing.T) {
	c := classify.NewCache()
	text := []byte("select f(1)")
	if v := c.Classify(text); v.Where != classify.Primary {
		t.Errorf("an unknown function: %s", v.Where)
	}
	c.SetNames(&classify.Names{Known: map[string]bool{"f": true}})
	if v := c.Classify(text); v.Where != classify.Standby {
		t.Errorf("a known function: %s, %s", v.Where, v.Why)
	}
	c.Refused(text, "refused by the standby")
	if v := c.Classify(text); v.Where != classify.Primary {
		t.Errorf("a refused text: %s", v.Where)
	}
	c.SetNames(&classify.Names{Reaches: map[string]string{"f": "it is volatile"}})
	if v := c.Classify(text); v.Where != classify.Primary || !strings.Contains(v.Why, "volatile") {
		t.Errorf("a volatile function: %s, %s", v.Where, v.Why)
	}
}

func BenchmarkHit(b *testing.B) {
	c := classify.NewCache()
	text := []byte("select a.slug, a.title, count(f.*) from articles a left join favorites f on f.article = a.id where a.slug = $1 group by 1, 2")
	c.Classify(text)
	b.ReportAllocs()
	for b.Loop() {
		c.Classify(text)
	}
}

func BenchmarkMiss(b *testing.B) {
	text := []byte("select a.slug, a.title, count(f.*) from articles a left join favorites f on f.article = a.id where a.slug = $1 group by 1, 2")
	n := &classify.Names{Known: map[string]bool{"count": true}}
	b.ReportAllocs()
	for b.Loop() {
		classify.Classify(text, n)
	}
}

// BenchmarkHitByShape is of texts that come once and differ by a number.
func BenchmarkHitByShape(b *testing.B) {
	c := classify.NewCache()
	texts := make([][]byte, 1<<16)
	for i := range texts {
		texts[i] = fmt.Appendf(nil, "SELECT abalance FROM pgbench_accounts WHERE aid = %d;", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Classify(texts[i%len(texts)])
	}
}
