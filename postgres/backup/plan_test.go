package backup

import (
	"slices"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/instance"
)

const mib16 = 16 << 20

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// based returns a base backup that ended so many hours after noon.
func based(hour int, tl uint32, start, end meridian.LSN) Backup {
	at := noon.Add(time.Duration(hour) * time.Hour)
	return Backup{Name: at.Format("15h"), Timeline: tl, Start: start, End: end, Segment: mib16, Ended: at}
}

func keysOf(names ...string) (out []logKey) {
	for _, n := range names {
		k, ok := parseLogKey(n + ".zst")
		if !ok {
			panic(n)
		}
		out = append(out, k)
	}
	return out
}

const h = ".0123456789abcdef"

func TestDue(t *testing.T) {
	old := based(-24, 1, 0, 0)
	for _, c := range []struct {
		what   string
		newest *Backup
		gap    bool
		now    time.Time
		want   bool
	}{
		{"none yet", nil, false, noon, true},
		{"a day old", &old, false, noon, true},
		{"younger", &old, false, noon.Add(-time.Second), false},
		{"younger, and log is missing after it", &old, true, noon.Add(-time.Second), true},
		{"just made, log may still be on its way", &old, true, old.Ended.Add(gapPatience - 1), false},
	} {
		if got, why := due(c.newest, c.gap, 24*time.Hour, c.now); got != c.want || why == "" {
			t.Errorf("%s: due is %v, %q", c.what, got, why)
		}
	}
}

func TestExpiredKeepsTheNewestAndTheirLog(t *testing.T) {
	all := []Backup{based(1, 1, 10, 20), based(3, 2, 50, 60), based(2, 1, 30, 40)}
	old, from := expired(all, 2)
	if len(old) != 1 || old[0].Start != 10 || from != 30 {
		t.Errorf("expired %v, log needed from %s", old, from)
	}
	if old, from := expired(all, 3); len(old) != 0 || from != 0 {
		t.Errorf("expired %v, log needed from %s", old, from)
	}
	for key, want := range map[string]bool{
		"1/wal/000000010000000000000002" + h + ".zst":   true,
		"1/wal/000000010000000000000003" + h + ".zst":   false,
		"1/wal/00000002.history" + h + ".zst":           false,
		"1/wal/000000090000000000000001.partial.zst":    true,
		"1/base/20261125T120000.000Z/base.tar.zst":      false,
		"1/wal/something that somebody else put there":  false,
		"1/wal/0000000100000000000000FF00.partial.zst":  false,
		"1/wal/00000002.history.partial.zst":            false,
		"1/wal/000000010000000000000002.partial.zst.gz": false,
	} {
		if got := needless(key, 3*mib16+5, mib16); got != want {
			t.Errorf("%s is needless: %v", key, got)
		}
	}
}

// TestFind walks a history that forked: timeline 1 was left for 2 in its third
// file, and a lost primary went on to its fourth.
func TestFind(t *testing.T) {
	files := keysOf("000000010000000000000001"+h, "000000010000000000000002"+h, "000000010000000000000003"+h,
		"000000010000000000000004"+h, "00000002.history"+h, "000000020000000000000003"+h, "000000020000000000000004.partial")
	turns := map[uint32]map[uint32]meridian.LSN{2: {1: 3*mib16 + 100}}
	first, second := based(0, 1, mib16+40, mib16+300), based(2, 2, 3*mib16+200, 3*mib16+500)
	all := []Backup{first, second}
	for _, c := range []struct {
		what  string
		to    instance.Target
		base  Backup
		tl    uint32
		until meridian.LSN
		last  string
	}{
		{"the end", instance.Target{}, second, 2, 5 * mib16, "000000020000000000000004"},
		{"before the second backup", instance.Target{Time: noon.Add(time.Hour)}, first, 2, 5 * mib16, "000000020000000000000004"},
		{"a position before the fork", instance.Target{LSN: 2*mib16 + 7}, first, 2, 5 * mib16, "000000020000000000000004"},
		{"what the lost primary had", instance.Target{Timeline: 1}, first, 1, 5 * mib16, "000000010000000000000004"},
	} {
		got, err := find(all, files, turns, c.to)
		if err != nil || got.Backup != c.base || got.Timeline != c.tl || got.Until != c.until || got.Files[len(got.Files)-1].File != c.last {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
	for what, to := range map[string]instance.Target{
		"before every backup": {Time: noon.Add(-time.Second)},
		"after the end":       {LSN: 6 * mib16},
		"no such timeline":    {Timeline: 3},
	} {
		if got, err := find(all, files, turns, to); meridian.KindOf(err) != meridian.NotFound {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

// TestAGapIsSeen takes one file away. The control is the archive with it.
func TestAGapIsSeen(t *testing.T) {
	files := keysOf("000000010000000000000001"+h, "000000010000000000000002"+h, "000000010000000000000003"+h)
	b := based(0, 1, mib16, mib16+5)
	if gapAfter(b, files, nil) {
		t.Error("a gap in an archive that has none")
	}
	files = slices.Delete(files, 1, 2)
	if !gapAfter(b, files, nil) {
		t.Error("a missing file is no gap")
	}
	if _, err := find([]Backup{b}, files, nil, instance.Target{LSN: 3*mib16 + 1}); meridian.KindOf(err) != meridian.NotFound {
		t.Errorf("beyond the gap: %v", err)
	}
}

func FuzzLogKey(f *testing.F) {
	f.Add("000000010000000000000001" + h + ".zst")
	f.Add("00000002.history" + h + ".zst")
	f.Add("000000020000000000000004.partial.zst")
	f.Fuzz(func(t *testing.T, name string) {
		k, ok := parseLogKey(name)
		if ok && k.String() != name {
			t.Errorf("%q is read as %q", name, k)
		}
		needless(name, 1, mib16)
	})
}
