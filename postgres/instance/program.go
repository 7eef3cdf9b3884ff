package instance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"meridian/internal/proc"
)

// A toolbox is PostgreSQL's programs and the user who runs them.
type toolbox struct {
	bin Binaries
	run account
}

// program runs one of PostgreSQL's programs to its end, as the account.
func (t toolbox) program(ctx context.Context, stdin, name string, args ...string) error {
	_, err := t.pipe(ctx, stdin, io.Discard, name, args...)
	return err
}

// output returns what one of the programs wrote.
func (t toolbox) output(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	_, err := t.pipe(ctx, "", &out, name, args...)
	return out.String(), err
}

// pipe runs a program and returns what it said on stderr.
func (t toolbox) pipe(ctx context.Context, stdin string, stdout io.Writer, name string, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := t.command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), stdout, &said
	p, err := proc.Start(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		<-p.Done()
		return "", context.Cause(ctx)
	}
	if err := p.Err(); err != nil {
		return "", fmt.Errorf("%s: %s: %w", name, oneLine(said.String()), err)
	}
	return said.String(), nil
}

// command passes on nothing of this process's environment: PGDATA, PGOPTIONS
// and their kin would change what runs.
func (t toolbox) command(name string, args ...string) proc.Cmd {
	return proc.Cmd{
		Path: t.bin.path(name), Args: args, Dir: "/",
		Env: []string{"PATH=" + t.bin.Dir + ":/usr/bin:/bin", "LC_ALL=C"},
		UID: t.run.UID, GID: t.run.GID,
	}
}

// oneLine keeps the last lines of what a program said, where the reason stands.
func oneLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
