package backup

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPlacesKeepWhatTheyAreGiven writes an object of a known size, one of an
// unknown size that is larger than a part, and one over another.
func TestPlacesKeepWhatTheyAreGiven(t *testing.T) {
	const part = 5 << 20 // S3's least
	large := make([]byte, part+part/4)
	for i := range large {
		large[i] = byte(rand.Uint32())
	}
	b := bucketPlace(t).(bucket)
	b.part = part
	for name, p := range map[string]Place{"folder": dir(filepath.Join(t.TempDir(), "copies")), "bucket": b} {
		t.Run(name, func(t *testing.T) {
			for key, content := range map[string][]byte{"1/wal/a.b": []byte("small"), "1/base/x/large": large} {
				if err := p.Put(t.Context(), key, bytes.NewReader([]byte("older"))); err != nil {
					t.Fatal(err)
				}
				var r io.Reader = bytes.NewReader(content)
				if len(content) > part {
					r = io.MultiReader(r) // hides the size
				}
				if err := p.Put(t.Context(), key, r); err != nil {
					t.Fatal(err)
				}
				got, err := fetch(t.Context(), p, key, 1<<30)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, want %d, %v", key, len(got), len(content), err)
				}
			}
			for prefix, want := range map[string]int{"": 2, "1/wal/": 1, "1/wal/a.": 1, "1/wal/b": 0, "2/": 0} {
				if got, err := p.List(t.Context(), prefix); err != nil || len(got) != want {
					t.Errorf("below %q: %v, %v", prefix, got, err)
				}
			}
			for range 2 {
				if err := p.Delete(t.Context(), "1/wal/a.b"); err != nil {
					t.Error(err)
				}
			}
			if _, err := fetch(t.Context(), p, "1/wal/a.b", 10); err == nil {
				t.Error("what was deleted is read")
			}
		})
	}
}

// TestAFolderForgetsWhoDied leaves two files behind as a killed node does. The
// one to which nothing was written for long goes; the control, which may be
// another region's, stays.
func TestAFolderForgetsWhoDied(t *testing.T) {
	d := dir(t.TempDir())
	for name, age := range map[string]time.Duration{unfinished + "dead": deadAfter + time.Hour, unfinished + "alive": deadAfter - time.Hour} {
		if err := os.WriteFile(d.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(d.path(name), time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Put(t.Context(), "1/wal/x", bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(d.path(unfinished + "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != unfinished+"alive" {
		t.Errorf("%v, %v", left, err)
	}
}
