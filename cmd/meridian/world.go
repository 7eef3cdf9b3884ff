package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"meridian/config"
	"meridian/internal/leash"
	"meridian/server"
	"meridian/world"
)

type upCmd struct {
	File   string `arg:"" help:"The world's file." placeholder:"FILE"`
	Detach bool   `help:"Return when the world is ready, and leave it running." short:"d"`
	Block  int    `help:"Use 127.BLOCK.0.0/16. Default: the first free one, from 10." placeholder:"N"`
}

func (c *upCmd) Run(ctx context.Context, g *Global) error {
	if c.Block != 0 && (c.Block < 1 || c.Block > 250) {
		return mistake{fmt.Errorf("--block %d: expected a number from 1 to 250", c.Block)}
	}
	f, err := load(c.File)
	if err != nil {
		return err
	}
	if r, err := world.Read(g.State); err == nil {
		if world.Connect(r).Alive(ctx) {
			return c.already(ctx, g)
		}
		if err := world.Fits(f, r, server.Founded); err != nil {
			return err
		}
	}
	if err := server.Able(f); err != nil {
		return err
	}
	if c.Detach {
		return c.detach(ctx, g)
	}
	return c.supervise(ctx, g, f)
}

// supervise brings the world up and stays until it is down.
func (c *upCmd) supervise(ctx context.Context, g *Global, f *config.File) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	begin := time.Now()
	parent := leash.Attach() // set when this process was detached by another
	p := &progress{out: os.Stdout, begin: begin}
	state := ""
	err = world.Up(ctx, world.Options{File: f, State: g.State, Block: c.Block, Program: program, Build: server.Build, Report: p.line}, func(r world.Record) {
		state = r.State
		if err := whole(ctx, g); err != nil {
			p.line(world.Progress{Note: err.Error()})
		}
		p.line(world.Progress{Part: "world ready", Took: time.Since(begin)})
		if parent != nil {
			parent.Report(leash.Report{Ready: true})
			return
		}
		if err := showWorld(ctx, g, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "meridian:", err)
		}
		fmt.Println("\nCtrl-C, or `meridian down` elsewhere, ends it.")
	})
	if errors.Is(err, world.ErrRunning) {
		return c.already(ctx, g)
	}
	if err != nil {
		parent.Report(leash.Report{Error: err.Error()})
	} else if state != "" {
		fmt.Printf("\ndown; its data stays in %s\n", state)
	}
	return err
}

func (c *upCmd) already(ctx context.Context, g *Global) error {
	fmt.Println("already running")
	return showWorld(ctx, g, os.Stdout)
}

// detach starts this command again in a session of its own, without --detach,
// and waits for its report.
func (c *upCmd) detach(ctx context.Context, g *Global) error {
	if err := os.MkdirAll(g.State, 0o755); err != nil {
		return err
	}
	logPath := filepath.Join(g.State, "up.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	l, err := leash.New()
	if err != nil {
		return err
	}
	cmd, err := c.again(g, log, l)
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	reports := make(chan leash.Report, 16)
	go func() { // ends with the pipe: on readiness this process ends first
		l.Reports(func(r leash.Report) { reports <- r })
		close(reports)
	}()
	select {
	case r := <-reports:
		if r.Ready {
			return showWorld(ctx, g, os.Stdout)
		}
		return fmt.Errorf("%s (see %s)", or(r.Error, "the supervisor ended: "+lastLine(logPath)), logPath)
	case <-ctx.Done():
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		return errors.New("interrupted before the world was ready; it is down")
	}
}

// again starts this command as the supervisor, which writes to a log and reports by
// a leash.
func (c *upCmd) again(g *Global, log *os.File, l *leash.Parent) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--state", g.State, c.File}
	if c.Block != 0 {
		args = append(args, "--block", fmt.Sprint(c.Block))
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), leash.Variable+"=1")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, l.Files()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	l.Started()
	return cmd, err
}

func lastLine(path string) string {
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

type downCmd struct{}

func (c *downCmd) Run(ctx context.Context, g *Global) error {
	r, err := world.Read(g.State)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	begin := time.Now()
	remote := world.Connect(r)
	if !remote.Alive(ctx) {
		fmt.Println("the world is down already")
		return nil
	}
	if err := remote.Down(ctx); err != nil {
		return err
	}
	fmt.Printf("down after %v; its data stays in %s\n", time.Since(begin).Round(10*time.Millisecond), r.State)
	return nil
}

type faultCmd struct {
	Down  downFault  `cmd:"" help:"Kill NODE and all below it, as a loss of power would."`
	Pause pauseFault `cmd:"" help:"Stop NODE and all below it; connections stay open."`
	Cut   cutFault   `cmd:"" help:"Cut the link between places A and B: bytes vanish."`
	Slow  slowFault  `cmd:"" help:"Slow the link between places A and B down."`
	Heal  healFault  `cmd:"" help:"Undo: of a NODE, of the link between A and B, or of everything."`
}

type downFault struct {
	Node string `arg:"" help:"As in meridian status." placeholder:"NODE"`
}

func (f *downFault) Run(ctx context.Context, g *Global) error {
	return inject(ctx, g, world.Fault{Do: "down", Names: []string{f.Node}})
}

type pauseFault struct {
	Node string `arg:"" help:"As in meridian status." placeholder:"NODE"`
}

func (f *pauseFault) Run(ctx context.Context, g *Global) error {
	return inject(ctx, g, world.Fault{Do: "pause", Names: []string{f.Node}})
}

type cutFault struct {
	A      string `arg:"" placeholder:"A"`
	B      string `arg:"" placeholder:"B"`
	OneWay bool   `help:"Only bytes from A to B vanish: A hears B, B does not hear A."`
}

type slowFault struct {
	A  string        `arg:"" placeholder:"A"`
	B  string        `arg:"" placeholder:"B"`
	By time.Duration `help:"Added to each round trip." default:"200ms"`
}

type healFault struct {
	Names []string `arg:"" optional:"" placeholder:"NODE | A B"`
}

func (f *healFault) Run(ctx context.Context, g *Global) error {
	return inject(ctx, g, world.Fault{Do: "heal", Names: f.Names})
}

func (f *slowFault) Run(ctx context.Context, g *Global) error {
	return inject(ctx, g, world.Fault{Do: "slow", Names: []string{f.A, f.B}, Extra: f.By})
}

func (f *cutFault) Run(ctx context.Context, g *Global) error {
	return inject(ctx, g, world.Fault{Do: "cut", Names: []string{f.A, f.B}, OneWay: f.OneWay})
}

func inject(ctx context.Context, g *Global, f world.Fault) error {
	r, err := world.Read(g.State)
	if err != nil {
		return err
	}
	did, err := world.Connect(r).Inject(ctx, f)
	if err == nil {
		fmt.Println(did)
	}
	return err
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
