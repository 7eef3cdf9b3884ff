package instance

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"meridian/postgres/pgtest"
)

// TestAStartWaitsForProcessesOfTheKilled stops one of a PostgreSQL's processes,
// so that it cannot notice that its postmaster was killed, and starts the next
// node meanwhile. The control is PostgreSQL alone, which gives up.
func TestAStartWaitsForProcessesOfTheKilled(t *testing.T) {
	t.Parallel()
	dir := pgtest.Folder(t)
	a := newCluster(t, dir, "us-east-1", nil)
	a.founded()
	a.start(Primary).up()
	conn, err := connect(t.Context(), a.Dial, "conduit", "conduit", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	said, err := first(t.Context(), conn, "SELECT pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(goOn)
	a.cancel() // the node's death
	a.crash()
	<-a.done

	b := newCluster(t, dir, "us-east-1", nil)
	if err := b.serve(t.Context(), Primary, nil, func() { t.Error("it started: the control controls nothing") }); !held(err) {
		t.Errorf("the control ended with %v", err)
	}
	b.start(Primary)
	select {
	case <-b.ready:
		t.Error("it runs beside a process of the last one")
	case <-b.done:
		t.Fatalf("it gave up: %v", b.err)
	case <-time.After(300 * time.Millisecond):
	}
	goOn()
	b.up()
}
