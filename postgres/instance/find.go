package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Oldest is the oldest major version that Meridian supports.
const Oldest = 15

// Binaries is where a PostgreSQL server's programs are.
type Binaries struct {
	Dir     string // holds what needed names
	Version string // as "15.18"
}

// Major is the part of the version that the data folder's format hangs on.
func (b Binaries) Major() int { return major(b.Version) }

func (b Binaries) path(program string) string { return filepath.Join(b.Dir, program) }

// needed are the programs without which a folder is no candidate.
var needed = []string{"postgres", "initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_waldump"}

// Find looks for PostgreSQL in PATH, where pg_config points, and in the usual
// folders of Debian, Red Hat and Homebrew. PATH wins; among the folders the
// newest version does. The error says where it looked.
func Find() (Binaries, error) {
	first := filepath.SplitList(os.Getenv("PATH"))
	if dir, err := output("pg_config", "--bindir"); err == nil {
		first = append(first, dir)
	}
	var usual []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		usual = append(usual, found...)
	}
	return find(first, usual)
}

func find(first, usual []string) (Binaries, error) {
	var wrong []error
	look := func(dirs []string) (found []Binaries) {
		for _, dir := range dirs {
			switch b, err := binaries(dir); {
			case err == nil:
				found = append(found, b)
			case !errors.Is(err, os.ErrNotExist):
				wrong = append(wrong, err)
			}
		}
		return found
	}
	if found := look(first); len(found) > 0 {
		return found[0], nil
	}
	found := look(usual)
	if len(found) == 0 {
		return Binaries{}, notFound(first, usual, wrong)
	}
	return slices.MaxFunc(found, func(a, b Binaries) int { return a.Major() - b.Major() }), nil
}

func notFound(first, usual []string, wrong []error) error {
	err := fmt.Errorf("PostgreSQL %d or newer is needed (on Debian: apt-get install postgresql); looked for %s in %s",
		Oldest, strings.Join(needed, ", "), strings.Join(slices.Concat(first, usual), ", "))
	for _, w := range wrong {
		err = fmt.Errorf("%w; %w", err, w)
	}
	return err
}

// binaries judges one folder. Its error is os.ErrNotExist for a folder that
// holds no PostgreSQL server at all.
func binaries(dir string) (Binaries, error) {
	if dir == "" {
		return Binaries{}, os.ErrNotExist
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, err
	}
	for _, program := range needed {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return Binaries{}, os.ErrNotExist
		}
	}
	said, err := output(filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return Binaries{}, err
	}
	// postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	_, rest, _ := strings.Cut(said, "(PostgreSQL) ")
	b := Binaries{Dir: dir}
	b.Version, _, _ = strings.Cut(rest, " ")
	if b.Major() < Oldest {
		return Binaries{}, fmt.Errorf("%s holds %q, which is too old", dir, said)
	}
	return b, nil
}

// major reads "15.18" and "19beta4".
func major(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, _ := strconv.Atoi(version[:end])
	return n
}

func output(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
