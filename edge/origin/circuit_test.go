package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestCircuit runs the scripts in testdata/circuit. Each line is a time and what
// happens then; the answer is what the circuit is after it. "ask N" lets N
// requests ask, spread over a second, and sends those that may go.
func TestCircuit(t *testing.T) {
	datadriven.Walk(t, "testdata/circuit", func(t *testing.T, path string) {
		var c Circuit
		start := time.Unix(1_000_000, 0)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				c = Circuit{}
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				words := strings.Fields(line)
				at, err := time.ParseDuration(words[0])
				if err != nil {
					t.Fatal(err)
				}
				said := happen(t, &c, start.Add(at), words[1:])
				fmt.Fprintf(&out, "%-7s %-14s %s\n", words[0], strings.Join(words[1:], " "), said)
			}
			return out.String()
		})
	})
}

func happen(t *testing.T, c *Circuit, now time.Time, words []string) string {
	switch words[0] {
	case "fail":
		*c = c.Failed(now, Evidence(words[1]), "it "+words[1]+"-failed")
	case "silent":
		*c = c.Silent(now, "is silent")
	case "refused":
		*c = c.Refused(now, "said no")
	case "rumour":
		*c = c.Rumoured(now, Evidence(words[1]), "b says: "+words[1])
	case "spoke":
		*c = c.Spoke(now)
	case "linked":
		*c = c.Linked(now)
	case "answer":
		*c = c.Answered(now)
	case "ask":
		var n, went int
		fmt.Sscan(words[1], &n)
		for i := range n {
			at := now.Add(time.Duration(i) * time.Second / time.Duration(n))
			next, may := c.Ask(at)
			if *c = next; may {
				*c, went = c.Went(at), went+1
			}
		}
		return fmt.Sprintf("%d of %d went; %s", went, n, c.Phase)
	default:
		t.Fatalf("unknown word %s", words[0])
	}
	if why := c.Says(now); why != "" {
		return c.Phase.String() + ": " + why
	}
	return c.Phase.String()
}

// FuzzCircuit checks what must hold whatever happens: an open circuit lets a
// probe go within its longest pause, if there is a way, a share is a share, and answers close it.
func FuzzCircuit(f *testing.F) {
	f.Add([]byte{0, 0, 0, 200, 5, 5})
	f.Add([]byte{1, 3, 5, 250, 5, 6, 7})
	f.Fuzz(func(t *testing.T, events []byte) {
		var c Circuit
		now := time.Unix(1_000_000, 0)
		for _, b := range events {
			now = now.Add(time.Duration(b>>3) * 100 * time.Millisecond)
			switch b & 7 {
			case 7:
				c = c.Rumoured(now, Evidence([]Evidence{ByLink, BySilence, ByRequest, ByWord}[b>>6]), "x")
			case 0:
				c = c.Failed(now, ByRequest, "x")
			case 1:
				c = c.Silent(now, "x")
			case 2:
				c = c.Refused(now, "x")
			case 3:
				c = c.Spoke(now)
			case 4:
				c = c.Linked(now)
			case 5:
				c = c.Answered(now)
			default:
				if next, may := c.Ask(now); may {
					c = next.Went(now)
				}
			}
			if c.Phase != Closed && (c.Why == "" || c.Phase == Slow && (c.share(now) < slowShare || c.share(now) > 1)) {
				t.Fatalf("%+v", c)
			}
		}
		later := now.Add(longAvoid)
		c = c.Linked(later)
		if _, may := c.Ask(later); !may {
			t.Fatalf("%+v never lets a probe go", c)
		}
		c = c.Went(later).Answered(later).Answered(later.Add(slowMost))
		if c.Phase != Closed {
			t.Fatalf("%+v does not close", c)
		}
	})
}
