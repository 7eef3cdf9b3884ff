package index

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestFindsWhatALookAtAllFinds compares the index with a list, after many
// changes.
func TestFindsWhatALookAtAllFinds(t *testing.T) {
	type item struct{ path, tag string }
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string { return strings.Repeat("/"+string(rune('a'+r.IntN(3))), 1+r.IntN(4)) }
	x, list := New[int](), map[int]item{}
	for n := range 20_000 {
		id := r.IntN(200)
		if it, ok := list[id]; ok {
			x.Remove(id, it.path, []string{it.tag})
			delete(list, id)
			continue
		}
		it := item{word(), word()}
		x.Add(id, it.path, []string{it.tag})
		list[id] = it
		if n%97 != 0 {
			continue
		}
		name := word()
		for _, q := range []struct {
			got []int
			is  func(item) bool
		}{
			{x.Find(name, "", ""), func(i item) bool { return i.path == name }},
			{x.Find("", name, ""), func(i item) bool { return i.tag == name }},
			{x.Find("", "", name), func(i item) bool { return strings.HasPrefix(i.path, name) }},
			{x.Find("", "", ""), func(item) bool { return true }},
		} {
			var want []int
			for id, i := range list {
				if q.is(i) {
					want = append(want, id)
				}
			}
			slices.Sort(q.got)
			slices.Sort(want)
			if !slices.Equal(q.got, want) {
				t.Fatalf("%s: %v, want %v", name, q.got, want)
			}
		}
	}
}
