package instance

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func TestDecide(t *testing.T) {
	datadriven.RunTest(t, "testdata/decide", func(t *testing.T, d *datadriven.TestData) string {
		v := View{Role: Role(d.Cmd), Major: 15}
		for _, arg := range d.CmdArgs {
			switch arg.Key {
			case "empty":
			case "of":
				v.Folder.Exists, v.Folder.Major = true, 15
				arg.Scan(t, 0, &v.Folder.System)
			case "made-by":
				arg.Scan(t, 0, &v.Folder.Major)
			case "follows":
				v.Folder.Standby = true
			case "upstream":
				arg.Scan(t, 0, &v.Upstream)
			case "turned":
				v.Turned = true
			case "behind":
				v.Behind = true
			case "half":
				v.Half = true
			case "unreadable":
				v.Unreadable = true
			case "recovering":
				v.Recovering = true
			case "further":
				v.Further = true
			case "their-timeline":
				arg.Scan(t, 0, &v.Primary)
			case "our-timeline":
				arg.Scan(t, 0, &v.Timeline)
			case "fork":
				arg.Scan(t, 0, &v.Fork)
			case "end":
				arg.Scan(t, 0, &v.End)
			default:
				d.Fatalf(t, "unknown word %q", arg.Key)
			}
		}
		step, why := Decide(v)
		return fmt.Sprintf("%s: %s\n", step, why)
	})
}
