package world

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/sockdir"
)

const threePlaces = "regions: {us-east-1: {primary: true}, eu-west-1: {}}\nedges: [us-east-1, eu-west-1, sa-east-1]\n"

var threePlacesNodes = []string{"control", "us-east-1", "us-east-1/edge", "eu-west-1", "eu-west-1/edge", "sa-east-1/edge"}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// A stage is a world of fake nodes.
type stage struct {
	t      *testing.T
	state  string
	events chan string         // what nodes and progress say, a line each
	alive  map[string]*os.File // ends when nothing of a node lives
	hold   map[string]*os.File
	up     chan error // what Up returned
	end    context.CancelFunc
	record Record
	remote *Remote
}

// lay prepares a stage on which nodes behave as manners say.
func lay(t *testing.T, manners map[string]string) *stage {
	t.Helper()
	s := &stage{t: t, state: open(t), events: make(chan string, 1000), alive: map[string]*os.File{}, hold: map[string]*os.File{}, up: make(chan error, 1)}
	sockets, err := sockdir.For(s.state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	for _, n := range threePlacesNodes {
		s.alive[n], s.hold[n] = namedPipe(t, filepath.Join(s.state, "alive-"+FolderOf(n)))
	}
	for n, how := range manners {
		s.behave(n, how)
	}
	r, w := namedPipe(t, filepath.Join(s.state, "events"))
	read := make(chan struct{})
	go func() {
		defer close(read)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			s.events <- sc.Text()
		}
	}()
	t.Cleanup(func() { w.Close(); r.Close(); <-read })
	return s
}

func (s *stage) behave(node, how string) {
	if err := os.WriteFile(filepath.Join(s.state, "be-"+FolderOf(node)), []byte(how), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start brings the world up in this process.
func (s *stage) start() {
	ctx, end := context.WithCancel(s.t.Context())
	s.end = end
	ready := make(chan Record, 1)
	o := Options{File: parse(s.t, threePlaces), State: s.state, Program: os.Args[0], Build: noBuild, Report: s.report}
	go func() { s.up <- Up(ctx, o, func(r Record) { ready <- r }) }()
	s.t.Cleanup(func() {
		end()
		for n := range s.alive {
			s.gone(n)
		}
	})
	select {
	case s.record = <-ready:
		s.remote = Connect(s.record)
	case err := <-s.up:
		s.up <- err
	case <-time.After(patience):
		s.t.Fatal("the world does not start")
	}
}

func (s *stage) report(p Progress) {
	s.events <- strings.Join(strings.Fields(p.Node+" "+p.Part+" "+p.Note), " ")
}

// hear waits until all those lines came, in any order, with others between.
func (s *stage) hear(lines ...string) {
	s.t.Helper()
	missing := slices.Clone(lines)
	late := time.After(patience)
	for len(missing) > 0 {
		select {
		case got := <-s.events:
			if i := slices.Index(missing, got); i >= 0 {
				missing = slices.Delete(missing, i, i+1)
			}
		case <-late:
			s.t.Fatalf("nobody said %q", missing)
		}
	}
}

// gone waits until nothing of a node lives.
func (s *stage) gone(node string) {
	s.t.Helper()
	s.hold[node].Close()
	s.alive[node].SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, s.alive[node]); err != nil && !errors.Is(err, os.ErrClosed) {
		s.t.Errorf("something of %s lives on: %v", node, err)
	}
}

func (s *stage) ended() error {
	s.t.Helper()
	select {
	case err := <-s.up:
		return err
	case <-time.After(patience):
		s.t.Fatal("Up does not return")
		return nil
	}
}

func (s *stage) process(node string) Process {
	s.t.Helper()
	ps, err := s.remote.Processes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(ps, func(p Process) bool { return p.Node == node })
	if i < 0 {
		s.t.Fatalf("no process of %s in %v", node, ps)
	}
	return ps[i]
}

func (s *stage) fault(do string, names ...string) string {
	s.t.Helper()
	did, err := s.remote.Inject(s.t.Context(), Fault{Do: do, Names: names})
	if err != nil {
		s.t.Fatal(err)
	}
	return did
}
