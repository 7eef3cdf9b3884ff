package sandbox

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second

// TestMain lets this binary be a process that takes more memory than it may,
// or one that connects to a listener.
func TestMain(m *testing.M) {
	if addr := os.Getenv("SANDBOX_TEST_DIAL"); addr != "" {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_, err = c.Read(make([]byte, 1)) // the test's byte, or the end
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv("SANDBOX_TEST_TAKE") != "" {
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) == 400 {
				<-make(chan int)
			}
		}
	}
	os.Exit(m.Run())
}

func sh(m *Memory, t *testing.T, s Spec, script string) *Sandbox {
	t.Helper()
	s.Program = "/bin/sh"
	if s.Line == nil {
		s.Line = func(string, string) {}
	}
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Program = file
	b, err := m.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exit(t *testing.T, b *Sandbox) Exit {
	t.Helper()
	select {
	case <-b.Done():
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
	return b.Exit()
}

func free() *Memory { return &Memory{groups: noGroups{"a test"}} }

func TestOutputComesInLinesAndTheEndOfStderrIsKept(t *testing.T) {
	var mu sync.Mutex
	var got []string
	b := sh(free(), t, Spec{Line: func(stream, line string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, stream+":"+line)
	}}, "echo one; echo two >&2; printf three; exit 4")
	x := exit(t, b)
	slices.Sort(got)
	if want := []string{"stderr:two", "stdout:one", "stdout:three"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	if x.String() != "exit status 4" || x.Stderr != "two" || x.OutOfMemory {
		t.Errorf("%+v", x)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var got []int
	l := &lines{emit: func(s string) { got = append(got, len(s)) }}
	l.Write([]byte(strings.Repeat("x", maxLine+10)))
	l.Write([]byte("yy\r\nz"))
	l.flush()
	if want := []int{maxLine, 12, 1}; !slices.Equal(got, want) {
		t.Errorf("lengths %v, want %v", got, want)
	}
	if len(l.last()) > maxTail {
		t.Errorf("a tail of %d bytes", len(l.last()))
	}
}

func TestProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	said := make(chan string, 1)
	b := sh(free(), t, Spec{Line: func(_, line string) { said <- line }}, `trap "" TERM; echo ready; while :; do sleep 1000; done`)
	if line := <-said; line != "ready" {
		t.Fatal(line)
	}
	b.Terminate(10 * time.Millisecond)
	if x := b.Exit(); x.String() != "signal: killed" {
		t.Error(x)
	}
}

func TestEnvironHasTheDocumentedVariables(t *testing.T) {
	env := Environ(Runtime{Function: "f", Region: "eu-west-1", API: "127.0.0.1:1", MemoryMiB: 100, Concurrency: 1, TaskRoot: "/t"},
		map[string]string{"A": "customer's", "PATH": "/mine", "AWS_REGION": "not this"}, map[string]string{"A": "extra"})
	for _, want := range []string{"_HANDLER=bootstrap", "A=extra", "PATH=/mine", "AWS_REGION=eu-west-1", "LAMBDA_TASK_ROOT=/t", "GOMEMLIMIT=90MiB", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %q", want, env)
		}
	}
	for _, v := range env {
		if strings.HasPrefix(v, "AWS_LAMBDA_MAX_CONCURRENCY=") {
			t.Errorf("a function that takes one at a time is told %s", v)
		}
	}
}

func TestVariablesAreChecked(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"reserved": {"AWS_LAMBDA_FUNCTION_NAME": "x"}, "underscore": {"_X": ""}, "no name": {"": "x"}, "sign": {"A=B": ""},
		"zero byte": {"A": "\x00"}, "too long": {"A": strings.Repeat("x", MaxEnviron)},
	} {
		if CheckEnv(env) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := CheckEnv(map[string]string{"A": "x", "AWS_ACCESS_KEY_ID": "of the function's own"}); err != nil {
		t.Error(err)
	}
}

func TestTerminateReturnsAtOnceForADeadProcess(t *testing.T) {
	b := sh(free(), t, Spec{}, "exit 0")
	exit(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.Terminate(time.Hour)
	if ctx.Err() != nil {
		t.Error("waited for a dead process")
	}
}
