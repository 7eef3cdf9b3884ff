package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian/lambda/pool"
)

// TestDecisions runs the scripts in testdata/decide. "place" and "scale" give a view,
// one environment a line, and the decision expected of it.
func TestDecisions(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := view(t, d)
			switch d.Cmd {
			case "place":
				return text(pool.Place(v))
			case "scale":
				return text(pool.Scale(v))
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

func text(d pool.Decision) string {
	s := string(d.Do)
	if d.Env != "" {
		s += " " + d.Env
	}
	s += ": " + d.Why
	if d.Again > 0 {
		s += fmt.Sprintf(" (again in %v)", d.Again)
	}
	return s + "\n"
}

// view reads a command's arguments, and lines such as
//
//	a ready busy=1 waiting=0 soon=0 idle=30s late
func view(t *testing.T, d *datadriven.TestData) pool.View {
	v := pool.View{Min: 0, Max: 2, Slots: 1, Idle: time.Minute, MaxQueue: 10}
	for _, a := range d.CmdArgs {
		set(t, a.Key, strings.Join(a.Vals, ""), map[string]any{
			"min": &v.Min, "max": &v.Max, "slots": &v.Slots, "queued": &v.Queued, "maxqueue": &v.MaxQueue,
			"idle": &v.Idle, "backoff": &v.Backoff, "draining": &v.Draining,
		})
	}
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		e := pool.Env{Name: f[0], State: pool.State(f[1])}
		for _, a := range f[2:] {
			key, val, _ := strings.Cut(a, "=")
			set(t, key, val, map[string]any{
				"busy": &e.Busy, "waiting": &e.Waiting, "soon": &e.Soon, "idle": &e.Idle, "late": &e.Late,
			})
		}
		v.Envs = append(v.Envs, e)
	}
	return v
}

func set(t *testing.T, key, val string, fields map[string]any) {
	var err error
	switch p := fields[key].(type) {
	case *int:
		_, err = fmt.Sscan(val, p)
	case *time.Duration:
		*p, err = time.ParseDuration(val)
	case *bool:
		*p = true
	default:
		err = fmt.Errorf("no such field")
	}
	if err != nil {
		t.Fatalf("%s=%s: %v", key, val, err)
	}
}

// FuzzScale checks what must hold of every view, however odd.
func FuzzScale(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(1), uint8(3), []byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, lo, hi, slots, queued uint8, envs []byte) {
		v := pool.View{Min: int(min(lo, hi)), Max: int(hi), Slots: int(slots), Queued: int(queued), Idle: time.Minute, MaxQueue: 100}
		live, silent := 0, map[string]bool{}
		for i, b := range envs {
			state := []pool.State{pool.Starting, pool.Ready, pool.Leaving}[b%3]
			if state != pool.Leaving {
				live++
			}
			e := pool.Env{Name: fmt.Sprint(i), State: state, Busy: int(b / 64), Waiting: int(b / 32), Idle: time.Duration(b) * time.Second}
			silent[e.Name] = e.Waiting == 0 && e.Idle >= pool.Silence
			v.Envs = append(v.Envs, e)
		}
		for _, d := range []pool.Decision{pool.Scale(v), pool.Place(v)} {
			switch {
			case d.Why == "":
				t.Errorf("%s without a reason", d.Do)
			case d.Do == pool.Start && (live >= v.Max || len(v.Envs) >= 2*v.Max):
				t.Errorf("started beyond max %d with %d", v.Max, live)
			case d.Do == pool.Retire && live <= v.Min && !silent[d.Env]:
				t.Errorf("retired an idle one below min %d", v.Min)
			}
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	v := pool.View{Max: 10, Slots: 16, MaxQueue: 100}
	for i := range 10 {
		v.Envs = append(v.Envs, pool.Env{Name: fmt.Sprint("articles-", i), State: pool.Ready, Waiting: 3, Idle: time.Duration(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		pool.Place(v)
	}
}
