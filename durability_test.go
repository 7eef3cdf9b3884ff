package meridian_test

import (
	"testing"
	"time"

	"meridian"
)

func TestDurabilityIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]meridian.Durability{
		"async": {}, "quorum": {Quorum: true}, "sync: eu-west-1": {Sync: "eu-west-1"}, "rpo: 250ms": {RPO: 250 * time.Millisecond},
	} {
		got, err := meridian.ParseDurability(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v, %v, written %q", text, got, err, got)
		}
	}
	if d, err := meridian.ParseDurability("sync:eu-west-1"); err != nil || d.Sync != "eu-west-1" {
		t.Errorf("without the space: %v, %v", d, err)
	}
	for _, text := range []string{"", "sync", "sync:", "sync: a b", "Quorum", "quorum: 2", "rpo", "rpo: 0s", "rpo: -1s", "rpo: soon", "async: x"} {
		if d, err := meridian.ParseDurability(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
}

func FuzzParseDurability(f *testing.F) {
	f.Add("sync: eu-west-1")
	f.Add("rpo: 1h2m")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := meridian.ParseDurability(s)
		if err != nil {
			return
		}
		if again, err := meridian.ParseDurability(d.String()); err != nil || again != d {
			t.Errorf("%q is %v, which is read as %v, %v", s, d, again, err)
		}
	})
}
