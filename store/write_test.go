package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestSettle reads a try and what the store answered to it.
func TestSettle(t *testing.T) {
	datadriven.RunTest(t, "testdata/settle", func(t *testing.T, d *datadriven.TestData) string {
		tr, f := try{op: op{Key: "k"}}, finding{rev: 9}
		for _, arg := range d.CmdArgs {
			switch arg.Key {
			case "value":
				tr.Value = []byte(arg.Vals[0])
			case "old":
				arg.Scan(t, 0, &tr.old)
			case "unsure":
				tr.unsure = true
			case "did":
				f.did = true
			case "found":
				f.exists = true
				f.entry.Value = []byte(arg.Vals[0])
				arg.Scan(t, 1, &f.entry.Rev)
			default:
				d.Fatalf(t, "unknown word %q", arg.Key)
			}
		}
		tr.CAS, tr.Delete = d.Cmd == "cas", d.Cmd == "delete"
		next, r := settle(tr, f)
		if next != nil {
			return fmt.Sprintf("try again with old=%d, unsure: %v\n", next.old, next.unsure)
		}
		return fmt.Sprintf("%v at %d\n", r.OK, r.Rev)
	})
}
