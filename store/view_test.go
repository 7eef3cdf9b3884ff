package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestView reads changes as a relay sends them, and shows the view after each.
func TestView(t *testing.T) {
	v := &View{}
	datadriven.RunTest(t, "testdata/view", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "new":
			v = &View{}
			return show(v)
		case "change", "whole":
			c := change{Whole: d.Cmd == "whole"}
			d.ScanArgs(t, "cluster", &c.Cluster)
			d.ScanArgs(t, "rev", &c.Rev)
			for _, line := range strings.Fields(d.Input) {
				key, value, set := strings.Cut(line, "=")
				if set {
					c.Set = append(c.Set, Entry{Key: key, Value: []byte(value), Rev: c.Rev})
				} else {
					c.Gone = append(c.Gone, key)
				}
			}
			before := show(v)
			next, news := v.apply(c)
			if show(v) != before {
				return "a view changed after it was handed out"
			}
			if v = next; !news {
				return "old news; still " + show(v)
			}
			return show(v)
		case "prefix":
			return fmt.Sprintln(keys(v.Prefix(strings.TrimSpace(d.Input))))
		}
		return "unknown command"
	})
}

func show(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %d at %d:", v.cluster, v.rev)
	for _, e := range v.entries {
		fmt.Fprintf(&b, " %s=%s@%d", e.Key, e.Value, e.Rev)
	}
	return b.String() + "\n"
}

func keys(entries []Entry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Key)
	}
	return out
}

// TestSinceLeadsFromAnyViewToAny takes the difference of each pair of views and
// applies it: the follower must end where the member is.
func TestSinceLeadsFromAnyViewToAny(t *testing.T) {
	views := []*View{
		{},
		newView(1, 2, []Entry{{Key: "a", Rev: 2}}),
		newView(1, 3, []Entry{{Key: "a", Rev: 2}, {Key: "b", Rev: 3}}),
		newView(1, 5, []Entry{{Key: "a", Rev: 4}, {Key: "c", Rev: 5}}),
		newView(2, 2, []Entry{{Key: "z", Rev: 2}}),
	}
	for i, from := range views {
		for _, to := range views[i+1:] {
			got, news := from.apply(to.since(from))
			if !news || show(got) != show(to) {
				t.Errorf("from %sto %sgot %s", show(from), show(to), show(got))
			}
			// A follower ahead of its new relay must not go back.
			if from.cluster != to.cluster {
				continue
			}
			if back, news := to.apply(from.whole()); news || back != to {
				t.Errorf("%swent back to %s", show(to), show(back))
			}
		}
	}
}

func TestPrefixCannotBeUsedToChangeTheView(t *testing.T) {
	v := newView(1, 3, []Entry{{Key: "a/1", Rev: 1}, {Key: "a/2", Rev: 2}, {Key: "b", Rev: 3}})
	_ = append(v.Prefix("a/"), Entry{Key: "oops"})
	if got := keys(v.entries); !slices.Equal(got, []string{"a/1", "a/2", "b"}) {
		t.Errorf("the view is %v", got)
	}
}
