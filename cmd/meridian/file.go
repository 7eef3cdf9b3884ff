package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/activation"

	"meridian/config"
	"meridian/internal/handover"
	"meridian/internal/leash"
	"meridian/internal/pki"
	"meridian/server"
	"meridian/world"
)

type checkCmd struct {
	File string `arg:"" help:"The world's file." placeholder:"FILE"`
}

// A mistake is an error in what the user wrote, in the file or in what it
// points at. It says itself where.
type mistake struct{ error }

// load reads the file at path and checks it, and all that it points at.
func load(path string) (*config.File, error) {
	f, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if err := server.Check(f); err != nil {
		return nil, mistake{err}
	}
	return f, nil
}

func (c *checkCmd) Run() error {
	f, err := load(c.File)
	if err != nil {
		return err
	}
	fmt.Printf("%s: good: %s, %d regions (primary %s), %d edges, %d functions\n", c.File, f.Domain, len(f.Regions), f.Primary(), len(f.Edges), len(f.Functions))
	return nil
}

type configCmd struct {
	Schema bool `help:"Print the JSON Schema of the file instead, for editors."`
}

func (c *configCmd) Run() error {
	if !c.Schema {
		fmt.Print(config.Reference())
		return nil
	}
	b, err := config.Schema()
	if err != nil {
		return err
	}
	fmt.Println(string(b))
	return nil
}

type serveCmd struct {
	File string `arg:"" help:"A production file: one with nodes." placeholder:"FILE"`
	Node string `help:"The node to run." required:"" placeholder:"NAME"`
}

func (c *serveCmd) Run(ctx context.Context, g *Global) error {
	asked := hear()
	state, err := filepath.Abs(g.State)
	if err != nil {
		return err
	}
	cfg := server.Config{Node: c.Node, State: state, Start: os.Getenv(leash.StartVariable), Sockets: new(handover.Sockets),
		Asked: server.Asked{Restart: asked.restart, Reload: asked.reload}}
	if cfg.Program, err = server.ThisProgram(); err != nil {
		return err
	}
	if err := cfg.Sockets.Activate(activation.Files(true)); err != nil {
		return err
	}
	if os.Getenv(leash.HandoverVariable) == "1" {
		os.Unsetenv(leash.HandoverVariable)
		if cfg.Next, err = server.TakePlace(ctx, state, cfg.Sockets); err != nil {
			return err
		}
	}
	if cfg.File, err = config.Load(c.File); err == nil && cfg.Next != nil {
		err = server.Check(cfg.File)
	}
	if err != nil {
		cfg.Next.Fail(err)
		return err
	}
	next := 0
	cfg.Yielded = func(pid int) { next = pid }
	kept := cfg.Next != nil || os.Getenv("NOTIFY_SOCKET") != "" || os.Getenv(leash.Variable) != ""
	err = server.Run(ctx, cfg)
	switch {
	case next == 0 || err != nil:
		return err
	case kept:
		asked.pass(state, next)
		return nil
	}
	return keep(ctx, state, next, asked)
}

type buildCmd struct {
	File string `arg:"" help:"The world's file." placeholder:"FILE"`
	Out  string `help:"Folder for the bundles." default:"bundles" placeholder:"DIR"`
}

func (c *buildCmd) Run(ctx context.Context) error {
	f, err := config.Load(c.File)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(c.Out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, fn := range f.Functions {
		binary, err := server.Build(ctx, fn, out)
		if err != nil {
			return fmt.Errorf("build function %s: %w", fn.Name, err)
		}
		fmt.Printf("%s: {binary: %s}\n", fn.Name, binary)
	}
	return nil
}

type pkiCmd struct {
	File string `arg:"" help:"A production file: one with nodes." placeholder:"FILE"`
	Out  string `help:"Folder for the certificates." default:"pki" placeholder:"DIR"`

	NewCertKey bool `name:"new-cert-key" help:"Put a new key before those of certs.key: give all nodes the file, and they encrypt the store's private keys anew."`
}

func (c *pkiCmd) Run() error {
	f, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if len(f.Nodes) == 0 {
		return fmt.Errorf("%s names no nodes; an up world makes its own certificates", c.File)
	}
	var nodes []string
	for _, n := range f.Nodes {
		nodes = append(nodes, n.Name)
	}
	ca, err := pki.Create(c.Out, nodes...)
	if err != nil {
		return err
	}
	if err := pki.KeepCertKeys(c.Out, c.NewCertKey); err != nil {
		return err
	}
	cert, key, err := ca.IssueServer(world.Names(f)...)
	if err != nil {
		return err
	}
	fmt.Printf("%s: ca.pem and %d nodes' certificates; for clients of %s: {cert: %s, key: %s}\n", c.Out, len(nodes), f.Domain, cert, key)
	return nil
}
