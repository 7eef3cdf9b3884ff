package leash

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"
)

// TestMain lets this binary be a child on a leash.
func TestMain(m *testing.M) {
	if c := Attach(); c != nil {
		if os.Getenv("LEASH_TEST_HOLDS") != "" { // starts one that lives until this test ends it
			cmd := exec.Command("/bin/cat")
			cmd.Stdin = os.Stdin
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			c.Report(Report{Ready: true})
			os.Exit(0)
		}
		c.Report(Report{Part: "part", Took: time.Second})
		c.Report(Report{Ready: true, Note: fmt.Sprintf("%q", os.Getenv(Variable))})
		c.Follow(func(o Order) { c.Report(Report{Note: fmt.Sprint(o.Faults)}) })
		fmt.Println("the supervisor is gone")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child starts this binary on a leash.
func child(t *testing.T, env ...string) (*Parent, *exec.Cmd, *bufio.Reader) {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), Variable+"=1"), env...)
	cmd.ExtraFiles, cmd.Stderr = p.Files(), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Stdin == nil && len(env) > 0 {
		hold, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = hold
		t.Cleanup(func() { hold.Close(); w.Close() })
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Started()
	return p, cmd, bufio.NewReader(out)
}

func TestReportsComeUpAndOrdersGoDown(t *testing.T) {
	p, cmd, _ := child(t)
	got := make(chan Report)
	done := make(chan struct{})
	go func() { defer close(done); p.Reports(func(r Report) { got <- r }) }()
	expect := func(want Report) {
		t.Helper()
		select {
		case r := <-got:
			if r != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %+v", want)
		}
	}
	expect(Report{Part: "part", Took: time.Second})
	expect(Report{Ready: true, Note: `""`}) // what it starts is not on the leash
	for _, faults := range [][]Fault{{{A: "eu-west-1", B: "us-east-1", Cut: true}}, {}, {{A: "a", B: "b", Extra: time.Millisecond}}} {
		if err := p.Order(Order{Faults: faults}); err != nil {
			t.Fatal(err)
		}
		expect(Report{Note: fmt.Sprint(faults)})
	}
	cmd.Process.Kill()
	<-done // the end of the child is the end of its reports
	cmd.Wait()
	if err := p.Order(Order{}); err == nil {
		t.Error("a dead child takes orders")
	}
}

func TestTheEndOfTheSupervisorEndsFollow(t *testing.T) {
	p, cmd, out := child(t)
	p.orders.Close() // as the kernel does when the supervisor is killed
	if line, err := out.ReadString('\n'); err != nil || line != "the supervisor is gone\n" {
		t.Errorf("%q, %v", line, err)
	}
	p.Reports(func(Report) {})
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestWhatAChildStartsDoesNotHoldTheLeash has the child end and leave another
// process behind.
func TestWhatAChildStartsDoesNotHoldTheLeash(t *testing.T) {
	p, cmd, _ := child(t, "LEASH_TEST_HOLDS=1")
	done := make(chan struct{})
	go func() { defer close(done); p.Reports(func(Report) {}) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the reports go on without the child")
		p.reports.Close()
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestAStoppedChildBlocksNobody fills the pipe of a child that reads nothing,
// and lets it read later: what was torn must not spoil the next order.
func TestAStoppedChildBlocksNobody(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Started()
	if err := p.Order(Order{Faults: make([]Fault, 20_000)}); !os.IsTimeout(err) {
		t.Fatalf("got %v", err)
	}
	got := make(chan []Fault, 1)
	go (&Child{orders: p.lower[0]}).Follow(func(o Order) { got <- o.Faults }) // ends with the pipe
	want := []Fault{{A: "a", B: "b", Cut: true}}
	if err := p.Order(Order{Faults: want}); err != nil {
		t.Fatal(err)
	}
	if faults := <-got; !reflect.DeepEqual(faults, want) {
		t.Errorf("got %v", faults)
	}
}

func TestNoLeashIsNoChild(t *testing.T) {
	t.Setenv(Variable, "")
	c := Attach()
	if !reflect.ValueOf(c).IsNil() {
		t.Error("attached to nothing")
	}
	c.Report(Report{Ready: true}) // to nobody
}
