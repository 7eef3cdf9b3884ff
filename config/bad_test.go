package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what the errors say now beside testdata/bad/*.yaml")

// TestEachMistakeIsToldWithItsPlace reads testdata/bad. Beside each NAME.yaml
// stands NAME.errors, what people are told of it.
func TestEachMistakeIsToldWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			_, err := Load(path)
			if err == nil {
				t.Fatal("nothing is wrong with it")
			}
			var es Errors
			if !errors.As(err, &es) {
				t.Fatalf("%T", err)
			}
			for i, e := range es {
				if e.Line < 1 || e.Column < 1 || e.Found == "" || e.Expected == "" {
					t.Errorf("mistake %d says too little: %+v", i, *e)
				}
			}
			compare(t, strings.TrimSuffix(path, ".yaml")+".errors", portable(t, err.Error())+"\n")
		})
	}
}

// portable takes out what differs between machines.
func portable(t *testing.T, s string) string {
	abs, err := filepath.Abs("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	s = strings.ReplaceAll(s, abs, "DIR")
	return strings.ReplaceAll(s, "testdata/bad/", "")
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(- %s, + now)\n%s", golden, diff)
	}
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	_, err := Load("testdata/nowhere.yaml")
	if err == nil || !strings.HasPrefix(err.Error(), "testdata/nowhere.yaml: cannot be read: no such file") {
		t.Errorf("%v", err)
	}
	if _, err := Load("testdata"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("%v", err)
	}
}

// TestBytesThatAreNoTextAreRefused writes what would be hard to see in a file.
func TestBytesThatAreNoTextAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"domain: api\xff.test\n":                "x.yaml:1:12: found the byte 0xff; expected UTF-8",
		"domain: é\nregions: \x00\n":            "x.yaml:2:10: found the control character U+0000; expected text",
		"":                                      "x.yaml:1:1: the file is empty; expected domain, regions, api and functions",
		strings.Repeat("# long\n", maxFile/7+1): "x.yaml:1:1: more than 1 MiB; expected a smaller file",
	} {
		_, err := Parse("x.yaml", t.TempDir(), []byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestAliasesCannotMakeAFileHuge names 1,000 variables and repeats them for
// 1,000 functions.
func TestAliasesCannotMakeAFileHuge(t *testing.T) {
	var b strings.Builder
	b.WriteString("functions:\n  first:\n    env: &many {")
	for i := range 1000 {
		fmt.Fprintf(&b, "V%d: x, ", i)
	}
	b.WriteString("}\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  f%d: {env: *many}\n", i)
	}
	_, err := Parse("x.yaml", t.TempDir(), []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "more than 50000 values") {
		t.Errorf("got %v", err)
	}
	var es Errors
	if errors.As(err, &es); len(es) > maxErrors {
		t.Errorf("%d mistakes", len(es))
	}
}
