package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meridian/world"
)

type logsCmd struct {
	Node    string `help:"Only this node." placeholder:"NODE"`
	Lines   int    `help:"How many of the newest lines of each node." default:"20" short:"n"`
	Follow  bool   `help:"Go on as more is logged." short:"f"`
	Request string `help:"Only lines that hold this request id." placeholder:"ID"`
}

// logPoll is how often --follow looks for more.
const logPoll = 200 * time.Millisecond

func (c *logsCmd) Run(ctx context.Context, g *Global) error {
	tails, err := c.tails(g.State)
	for _, t := range tails {
		defer t.file.Close()
	}
	if err != nil {
		return err
	}
	first := true
	for {
		for _, t := range tails {
			lines := slices.DeleteFunc(t.more(), func(l string) bool { return c.Request != "" && !strings.Contains(l, c.Request) })
			if first && len(lines) > c.Lines && c.Request == "" {
				lines = lines[len(lines)-c.Lines:]
			}
			for _, l := range lines {
				fmt.Printf("%-22s %s\n", t.node, l)
			}
		}
		first = false
		if !c.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(logPoll):
		}
	}
}

// tails opens the logs of a world, or of one of its nodes. They are to be closed
// after an error, too.
func (c *logsCmd) tails(state string) (tails []*tail, err error) {
	r, err := world.Read(state)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(r.State, "log", "*.log"))
	if err != nil {
		return nil, err
	}
	if c.Node != "" {
		want := filepath.Join(r.State, "log", world.FolderOf(c.Node)+".log")
		if !slices.Contains(files, want) {
			return nil, fmt.Errorf("there is no log of node %q in %s", c.Node, filepath.Dir(want))
		}
		files = []string{want}
	}
	for _, f := range files {
		t, err := openTail(f)
		if err != nil {
			return tails, err
		}
		tails = append(tails, t)
	}
	return tails, nil
}

// A tail reads whole lines from a file that grows.
type tail struct {
	node string
	file *os.File
	rest string
}

func openTail(path string) (*tail, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), ".log")
	return &tail{node: strings.ReplaceAll(name, "+", "/"), file: f}, nil
}

func (t *tail) more() (lines []string) {
	b, _ := io.ReadAll(t.file)
	sc := bufio.NewScanner(strings.NewReader(t.rest + string(b)))
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	t.rest = ""
	if n := len(b); n > 0 && b[n-1] != '\n' && len(lines) > 0 {
		t.rest, lines = lines[len(lines)-1], lines[:len(lines)-1]
	}
	return lines
}
