package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"meridian"
)

func TestExamplesAreGood(t *testing.T) {
	for _, path := range examples(t) {
		if _, err := Load(path); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatIsWrittenIsReadBack is the promise that an up world's plan says what
// its file said.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	dir := referred(t)
	texts := map[string]string{
		"reference": Reference(), "everything": everything(),
		"zeros":   minimal + "functions: {hello: {go: functions/hello, min: 0, idle: 0s, env: {}}}\ncors: {}\nlimits: {body: 0}\n",
		"strange": minimal + `functions: {hello: {go: functions/hello, env: {A: "", B: "true", C: 1e3, D: "a\nb: [c", E: "  ", F: "é\u2028#", G: !!str null, H: "\t'\"", I: 2001-01-01}}}` + "\n",
	}
	for _, path := range examples(t) {
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		again(t, path, f)
	}
	for name, text := range texts {
		f, err := Parse("meridian.yaml", dir, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again(t, name, f)
	}
}

const minimal = "domain: api.example.test\nregions: {us-east-1: {primary: true}}\napi: openapi.yaml\n"

// again writes f, reads that, and wants what it had.
func again(t *testing.T, name string, f *File) {
	t.Helper()
	b, err := Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(filepath.Base(f.Path), filepath.Dir(f.Path), b)
	if err != nil {
		t.Fatalf("%s: what was written is not read: %v\n%s", name, err, b)
	}
	if diff := cmp.Diff(f, g, sameFile...); diff != "" {
		t.Errorf("%s: (- before, + after)\n%s\nby way of\n%s", name, diff, b)
	}
}

// sameFile compares what a file says, not where it says it.
var sameFile = []cmp.Option{
	cmpopts.IgnoreTypes(position{}, places{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestDefaultsAreForAFirstDay(t *testing.T) {
	f, err := Parse("meridian.yaml", referred(t), []byte(minimal+"functions: {hello: {go: functions/hello}}\ndatabase: {name: hello}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if fn := f.Functions[0]; fn.Timeout != 10*time.Second || fn.Memory != 128<<20 || fn.Concurrency != 1 || fn.Min != 1 || fn.Max != 16 {
		t.Errorf("%+v", fn)
	}
	if db := f.Database; db.Consistency != "session" || db.Durability != (meridian.Durability{}) || db.Failover.MaxLoss != 10*time.Second || db.Connections != 60 {
		t.Errorf("%+v", db)
	}
	if f.Limits.Header != 32<<10 || f.Limits.Body != 10_000_000 || f.DNS.TTL != 5*time.Second {
		t.Errorf("%+v %+v", f.Limits, f.DNS)
	}
	if len(f.Edges) != 1 || f.Edges[0] != "us-east-1" {
		t.Errorf("edges %v", f.Edges)
	}
}

func TestTheLongFormsOfOneElementAreTheShortOnes(t *testing.T) {
	dir := referred(t)
	short, err := Parse("meridian.yaml", dir, []byte(minimal+"database: {name: hello, connections: 9}\n"))
	if err != nil {
		t.Fatal(err)
	}
	long, err := Parse("meridian.yaml", dir, []byte("domains: [api.example.test]\nregions: {us-east-1: {primary: true}}\napis: [openapi.yaml]\ndatabases: [{name: hello, connections: 9}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(short, long, sameFile...); diff != "" {
		t.Error(diff)
	}
}

func TestAnAliasRepeatsAValue(t *testing.T) {
	f, err := Parse("meridian.yaml", referred(t), []byte(minimal+"functions:\n  a: &a {go: functions/hello, timeout: 3s}\n  b: *a\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Functions) != 2 || f.Functions[1].Name != "b" || f.Functions[1].Timeout != 3*time.Second {
		t.Errorf("%+v", f.Functions)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "512": 512, "512B": 512, "32KiB": 32768, "10MB": 10_000_000, "1 GiB": 1 << 30, "1500MB": 1_500_000_000} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%d is written %q", got, got)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "10mb", "9999999999GB", "1e3", "0x10"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

// FuzzParse gives Parse what strangers may write. It never panics, says where
// each mistake is, and reads back what it wrote.
func FuzzParse(f *testing.F) {
	dir := referred(f)
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 4<<10 {
			f.Add(b)
		}
	}
	f.Add([]byte(Reference()))
	f.Add([]byte(everything()))
	f.Add([]byte(minimal + "edges: &e [*e]\nfunctions: &f {a: *f}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse("x.yaml", dir, b)
		if err == nil {
			again(t, "fuzzed", file)
			return
		}
		var es Errors
		if !errors.As(err, &es) || len(es) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, e := range es {
			if e.Line < 1 || e.Column < 1 || e.Found == "" || e.Expected == "" {
				t.Errorf("%+v", *e)
			}
		}
	})
}
