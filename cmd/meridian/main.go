// Command meridian gives an HTTP API one hostname and runs it in many regions.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"meridian/client"
	"meridian/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run parses and executes one command line, and returns the exit code: 0, 1
// for a failure, 2 for a mistake in the file or on the command line.
func run(ctx context.Context, args []string) int {
	var cli commands
	parser := kong.Must(&cli, kong.Name("meridian"), kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}), kong.BindTo(ctx, (*context.Context)(nil)))
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "meridian: %v; see meridian --help\n", err)
		return 2
	}
	cmd.BindToProvider(func() (*client.Client, error) {
		a, _, err := admin(&cli.Global)
		return a, err
	})
	err = cmd.Run(&cli.Global)
	var mistakes config.Errors
	var other mistake
	switch {
	case errors.As(err, &mistakes):
		fmt.Fprintln(os.Stderr, mistakes)
		return 2
	case errors.As(err, &other):
		fmt.Fprintln(os.Stderr, other)
		return 2
	case err != nil:
		fmt.Fprintf(os.Stderr, "meridian: %v\n", err)
		return 1
	}
	return 0
}
