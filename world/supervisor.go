package world

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"meridian/config"
	"meridian/internal/leash"
	"meridian/internal/proc"
)

// A Supervisor runs the nodes of a world.
type Supervisor struct {
	state    string
	begun    string // names this start
	planFile string
	program  string
	report   func(Progress)
	grace    time.Duration // for all nodes to end by themselves

	gate   sync.RWMutex  // read while a node is launched, written to end
	ending chan struct{} // closed once no node may be launched any more
	wg     sync.WaitGroup

	turn sync.Mutex // held by who changes the plan

	mu       sync.Mutex // guards what follows
	plan     config.File
	children map[string]*child
	faults   []leash.Fault
}

// A Progress is one line of what a newcomer sees while a world starts.
type Progress struct {
	Node, Part, Note string
	Took             time.Duration
}

// restartAfter is how long a node that died by itself stays down.
const restartAfter = time.Second

// stopGrace is how long all nodes together may take to end by themselves.
// `down` promises ten seconds for everything.
const stopGrace = 8 * time.Second

func newSupervisor(stateDir, program string, plan config.File, report func(Progress)) (*Supervisor, error) {
	s := &Supervisor{state: stateDir, begun: rand.Text(), plan: plan, planFile: filepath.Join(stateDir, "world.yaml"), program: program, report: report, grace: stopGrace, ending: make(chan struct{}), children: map[string]*child{}}
	for _, n := range plan.Nodes {
		s.children[n.Name] = &child{node: n.Name, launch: s.launcher(n.Name)}
	}
	return s, writePlan(s.planFile, &plan)
}

func writePlan(path string, plan *config.File) error {
	b, err := config.Marshal(plan)
	if err == nil {
		err = writeFile(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// planned returns the plan of now.
func (s *Supervisor) planned() config.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

// nodeProcess returns a node's process, or nil of one that is not planned.
func (s *Supervisor) nodeProcess(node string) *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.children[node]
}

// launcher returns what starts a node's process.
func (s *Supervisor) launcher(node string, env ...string) func([]*os.File) (*proc.Process, error) {
	return func(files []*os.File) (*proc.Process, error) {
		log, err := logFile(s.state, node)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		return proc.Start(proc.Cmd{
			Path:   s.program,
			Args:   []string{"serve", "--node", node, "--state", filepath.Join(s.state, "nodes", FolderOf(node)), s.planFile},
			Env:    append(append(os.Environ(), leash.Variable+"=1", leash.StartVariable+"="+s.begun), env...),
			Stdout: log, Stderr: log, ExtraFiles: files,
		})
	}
}

// startAll starts every node and waits until all are ready. The first that
// fails ends the wait: the world cannot become ready without it.
func (s *Supervisor) startAll(ctx context.Context) error {
	nodes := s.planned().Nodes
	errs := make(chan error, len(nodes))
	for _, n := range nodes {
		s.wg.Go(func() { errs <- s.start(ctx, n.Name) }) // ends when the node is ready or gone, at the latest in stopAll
	}
	for range nodes {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// start starts one node and returns when it is ready, or has failed to become
// so. From then on it is watched.
func (s *Supervisor) start(ctx context.Context, node string) error {
	c := s.nodeProcess(node)
	if c == nil {
		return s.unknown("node", node)
	}
	ready, ended, life, err := s.launch(c)
	if err != nil {
		return err
	}
	select {
	case <-ready:
		s.wg.Go(func() { s.watch(c, ended, life) })
		return nil
	case <-ended:
		_, _, why := c.status()
		c.died(life)
		return fmt.Errorf("%s ended while it was starting: %s (%s)", node, or(why, "no reason given"), filepath.Join(s.state, "log", FolderOf(node)+".log"))
	case <-ctx.Done():
		s.wg.Go(func() { s.watch(c, ended, life) })
		return fmt.Errorf("start %s: %w", node, ctx.Err())
	}
}

// launch starts a child, unless the world is ending: what ends it must know of
// every child.
func (s *Supervisor) launch(c *child) (ready, ended <-chan struct{}, life int, err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.isEnding() {
		return nil, nil, 0, fmt.Errorf("start %s: the world is ending", c.node)
	}
	return c.start(s.order(), s.progress)
}

// watch starts a node again that ends without having been told to.
func (s *Supervisor) watch(c *child, ended <-chan struct{}, life int) {
	for {
		<-ended
		if s.isEnding() || !c.died(life) {
			return
		}
		s.report(Progress{Node: c.node, Note: "ended by itself, is started again"})
		select {
		case <-s.ending:
			return
		case <-time.After(restartAfter):
		}
		if st, _, _ := c.status(); st != failed {
			return // a fault or a heal took over
		}
		var err error
		if _, ended, life, err = s.launch(c); err != nil {
			s.report(Progress{Node: c.node, Note: err.Error()})
			return
		}
	}
}

// stopAll ends every node: the doors first, so that nothing accepts what the
// parts below can no longer finish. Who is not gone within the grace is killed.
func (s *Supervisor) stopAll() {
	s.gate.Lock()
	close(s.ending)
	s.gate.Unlock()
	end := time.Now().Add(s.grace)
	s.stop(s.grace/3, func(n config.Node) bool { return !n.Has(config.RoleRegion) })
	s.stop(time.Until(end), func(n config.Node) bool { return n.Has(config.RoleRegion) })
	s.wg.Wait()
}

func (s *Supervisor) stop(grace time.Duration, which func(config.Node) bool) {
	var wg sync.WaitGroup
	for _, n := range s.planned().Nodes {
		if which(n) {
			wg.Go(func() { s.nodeProcess(n.Name).stop(grace) })
		}
	}
	wg.Wait()
}

// begin runs f aside, unless the world is ending, which waits for it.
func (s *Supervisor) begin(f func()) bool {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.isEnding() {
		return false
	}
	s.wg.Go(f)
	return true
}

func (s *Supervisor) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

func (s *Supervisor) progress(node string, r leash.Report) {
	switch {
	case r.Ready:
		s.report(Progress{Node: node, Part: "ready", Took: r.Took})
	case r.Part != "" || r.Note != "":
		s.report(Progress{Node: node, Part: r.Part, Took: r.Took, Note: r.Note})
	}
}

func (s *Supervisor) order() leash.Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return leash.Order{Faults: append([]leash.Fault(nil), s.faults...)}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
