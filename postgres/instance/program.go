package instance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"meridian/internal/proc"
)

// program runs one of PostgreSQL's programs to its end, as the account.
func (in *Instance) program(ctx context.Context, stdin, name string, args ...string) error {
	return in.pipe(ctx, stdin, io.Discard, name, args...)
}

// output returns what one of the programs wrote.
func (in *Instance) output(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	err := in.pipe(ctx, "", &out, name, args...)
	return out.String(), err
}

func (in *Instance) pipe(ctx context.Context, stdin string, stdout io.Writer, name string, args ...string) error {
	var said bytes.Buffer
	cmd := in.command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), stdout, &said
	p, err := proc.Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		<-p.Done()
		return context.Cause(ctx)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s: %s: %w", name, oneLine(said.String()), err)
	}
	return nil
}

// command passes on nothing of this process's environment: PGDATA, PGOPTIONS
// and their kin would change what runs.
func (in *Instance) command(name string, args ...string) proc.Cmd {
	return proc.Cmd{
		Path: in.bin.path(name), Args: args, Dir: "/",
		Env: []string{"PATH=" + in.bin.Dir + ":/usr/bin:/bin", "LC_ALL=C"},
		UID: in.run.UID, GID: in.run.GID,
	}
}

// oneLine keeps the last lines of what a program said, where the reason stands.
func oneLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
