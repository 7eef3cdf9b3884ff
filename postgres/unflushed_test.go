package postgres

import (
	"bytes"
	"testing"

	"meridian"
)

func TestAPositionIsTheEndOfARecord(t *testing.T) {
	const segment = 16 << 20
	for at, want := range map[meridian.LSN]meridian.LSN{
		0x7000000: 0x7000000, 0x7000028: 0x7000000, 0x7000018: 0x7000018, // a segment's first page has the long header
		0x7002018: 0x7002000, 0x7002028: 0x7002028, 0x7002000: 0x7002000, 0x7002020: 0x7002020,
	} {
		if got := endOfRecord(at, segment); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// FuzzNamesCommit compares with the plain way, which looks at every byte.
func FuzzNamesCommit(f *testing.F) {
	for _, s := range []string{"", "_", "set Synchronous_COMMIT = off", "__synchronous_commit", "synchronous_commi", "ynchronous_commit", "synchronous_synchronous_commit_", "a_b_c_d_synchronous-commit"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		plain := bytes.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, b)
		if got := namesCommit(b); got != bytes.Contains(plain, commitSetting) {
			t.Errorf("%q: %v", b, got)
		}
	})
}

func BenchmarkNamesCommit(b *testing.B) {
	text := []byte("select a.id, a.slug, a.title from articles a join users u on u.id = a.author_id where a.created_at < $1 order by a.created_at desc limit 20")
	for b.Loop() {
		if namesCommit(text) {
			b.Fatal("it names it")
		}
	}
}
