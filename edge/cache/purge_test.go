package cache

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPurge measures a purge by prefix that concerns nothing, among many
// resources.
func BenchmarkPurge(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStore(1<<40, func(string, *resource) {})
			for i := range n {
				s.put(fmt.Sprintf("a.test\x00/articles/%d", i), &object{path: fmt.Sprintf("/articles/%d", i), received: time.Now()})
			}
			for b.Loop() {
				if keys := s.keys(Purge{Prefix: "/nothing/"}); len(keys) > n {
					b.Fatal(len(keys))
				}
				for _, key := range s.keys(Purge{Prefix: "/nothing/"}) {
					s.holds(key, Purge{Prefix: "/nothing/"})
				}
			}
		})
	}
}
