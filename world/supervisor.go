package world

import (
	"context"
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
	plan     config.File
	planFile string
	program  string
	report   func(Progress)

	mu       sync.Mutex // guards what follows
	children map[string]*child
	faults   []leash.Fault
	wg       sync.WaitGroup
}

// A Progress is one line of what a newcomer sees while a world starts.
type Progress struct {
	Node, Part, Note string
	Took             time.Duration
}

// restartAfter is how long a node that died by itself stays down.
const restartAfter = time.Second

// stopGrace is how long a node may take to end by itself. `down` promises ten
// seconds for everything.
const stopGrace = 7 * time.Second

func newSupervisor(stateDir, program string, plan config.File, report func(Progress)) (*Supervisor, error) {
	b, err := config.Marshal(&plan)
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	s := &Supervisor{state: stateDir, plan: plan, planFile: filepath.Join(stateDir, "world.yaml"), program: program, report: report, children: map[string]*child{}}
	if err := writeFile(s.planFile, b, 0o644); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	for _, n := range plan.Nodes {
		s.children[n.Name] = &child{node: n.Name, launch: s.launcher(n.Name)}
	}
	return s, nil
}

// launcher returns what starts a node's process.
func (s *Supervisor) launcher(node string) func([]*os.File) (*proc.Process, error) {
	return func(files []*os.File) (*proc.Process, error) {
		log, err := logFile(s.state, node)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		return proc.Start(proc.Cmd{
			Path:   s.program,
			Args:   []string{"serve", "--node", node, "--state", filepath.Join(s.state, "nodes", FolderOf(node)), s.planFile},
			Env:    append(os.Environ(), leash.Variable+"=1"),
			Stdout: log, Stderr: log, ExtraFiles: files,
		})
	}
}

// startAll starts every node and waits until all are ready. The first that
// fails ends the wait: the world cannot become ready without it.
func (s *Supervisor) startAll(ctx context.Context) error {
	errs := make(chan error, len(s.plan.Nodes))
	for _, n := range s.plan.Nodes {
		go func() { errs <- s.start(ctx, n.Name) }() // ends when the node is ready or gone, at the latest in stopAll
	}
	for range s.plan.Nodes {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// start starts one node and returns when it is ready, or has failed to become
// so. From then on it is watched.
func (s *Supervisor) start(ctx context.Context, node string) error {
	c := s.children[node]
	ready, ended, life, err := c.start(s.order(), s.progress)
	if err != nil {
		return err
	}
	select {
	case <-ready:
		s.wg.Go(func() { s.watch(ctx, c, ended, life) })
		return nil
	case <-ended:
		_, _, why := c.status()
		c.set(failed)
		return fmt.Errorf("%s ended while it was starting: %s (%s)", node, or(why, "no reason given"), filepath.Join(s.state, "log", FolderOf(node)+".log"))
	case <-ctx.Done():
		s.wg.Go(func() { s.watch(ctx, c, ended, life) })
		return fmt.Errorf("start %s: %w", node, ctx.Err())
	}
}

// watch starts a node again that ends without having been told to.
func (s *Supervisor) watch(ctx context.Context, c *child, ended <-chan struct{}, life int) {
	for {
		<-ended
		if ctx.Err() != nil || !c.died(life) {
			return
		}
		s.report(Progress{Node: c.node, Note: "ended by itself, is started again"})
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartAfter):
		}
		if st, _, _ := c.status(); st != failed {
			return // a fault or a heal took over
		}
		var err error
		if _, ended, life, err = c.start(s.order(), s.progress); err != nil {
			s.report(Progress{Node: c.node, Note: err.Error()})
			return
		}
	}
}

// stopAll ends every node: the doors first, then the regions that are not the
// primary, so that nothing accepts what the parts below can no longer finish.
func (s *Supervisor) stopAll() {
	stop := func(keep func(config.Node) bool) {
		var wg sync.WaitGroup
		for _, n := range s.plan.Nodes {
			if keep(n) {
				wg.Go(func() { s.children[n.Name].stop(stopGrace) })
			}
		}
		wg.Wait()
	}
	stop(func(n config.Node) bool { return !n.Has(config.RoleRegion) })
	stop(func(n config.Node) bool { return n.Has(config.RoleRegion) })
	s.wg.Wait()
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
