package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A driver is a module whose tests speak to a server.
type driver struct {
	module   string // with a version, unless it is one of this module's own
	packages []string
	flags    []string // of go test
	beside   string   // a module that it takes from the folder above, where nothing is
}

// drivers are the suites that run by name.
var drivers = map[string]driver{
	"pgx": {module: "github.com/jackc/pgx/v5",
		packages: []string{".", "./pgconn", "./pgproto3", "./pgtype", "./pgxpool", "./stdlib", "./multitracer", "./tracelog", "./pgtype/zeronull"}},
	// What is skipped needs rules of pg_hba.conf, certificates or a database of a
	// name of its own. It waits 100 ms for a connection, which is little where
	// tests run side by side.
	"pq": {module: "github.com/lib/pq@v1.12.3", packages: []string{"."},
		flags: []string{"-parallel=1", "-skip=^(TestAuth|TestSSL.*|TestConnectMulti|TestService|TestStartupParameters|TestNewConnector)$"}},
	"pgconn":   {module: "github.com/jackc/pgconn@v1.14.3", packages: []string{"."}},
	"gopg":     {module: "github.com/go-pg/pg/v10@v10.15.0", packages: []string{"."}},
	"pgtype":   {module: "github.com/jackc/pgtype@v1.14.4", packages: []string{".", "./zeronull"}},
	"pgdriver": {module: "github.com/uptrace/bun/driver/pgdriver@v1.2.15", packages: []string{"."}, beside: "github.com/uptrace/bun"},
	"pgx4":     {module: "github.com/jackc/pgx/v4@v4.18.3", packages: []string{".", "./pgxpool", "./stdlib"}},
}

// setup makes what pgx's suite expects of a database.
const setup = `create extension if not exists hstore; create extension if not exists ltree;
do $$ begin create role pqgo superuser login; exception when duplicate_object then null; end $$;
do $$ begin create domain uint64 as numeric(20,0); exception when duplicate_object then null; end $$;
do $$ begin create role postgres superuser; exception when duplicate_object then null; end $$;
do $$ begin create role " tricky, ' } "" \\ test user " superuser; exception when duplicate_object then null; end $$`

// passing are the parts of a test's name that are others in each run, such as
// that of a temporary folder.
var passing = regexp.MustCompile(`[0-9]{6,}`)

// An outcome is how one test ended, and what it said.
type outcome struct{ action, output string }

// suite runs a driver's tests by each way and compares.
func suite(ctx context.Context, ways []way, name, run string) error {
	d, known := drivers[name]
	if !known {
		return fmt.Errorf("suite %q is not known: one of %s", name, strings.Join(slices.Sorted(maps.Keys(drivers)), ", "))
	}
	dir, err := copySuite(ctx, d.module)
	if err != nil {
		return err
	}
	if d.beside != "" {
		edit := exec.CommandContext(ctx, "go", "mod", "edit", "-dropreplace="+d.beside)
		edit.Dir = dir
		if err := edit.Run(); err != nil {
			return fmt.Errorf("take %s by its version: %w", d.beside, err)
		}
	}
	if err := prepare(ctx, ways[0]); err != nil {
		return err
	}
	results := map[string]map[string]outcome{}
	for _, w := range ways {
		if results[w.name], err = test(ctx, dir, d, w, run); err != nil {
			return err
		}
		count := map[string]int{}
		for _, o := range results[w.name] {
			count[o.action]++
		}
		fmt.Printf("%s: %d passed, %d failed, %d skipped\n", w.name, count["pass"], count["fail"], count["skip"])
	}
	return compare(ways, results)
}

// copySuite copies a module out of the module cache, which cannot be written.
// The place is the same each time, so that Go need not compile it again.
func copySuite(ctx context.Context, module string) (string, error) {
	find := []string{"list", "-m", "-json", module}
	if strings.Contains(module, "@") {
		find = []string{"mod", "download", "-json", module}
	}
	out, err := exec.CommandContext(ctx, "go", find...).Output()
	var found struct{ Dir string }
	if err = errors.Join(err, json.Unmarshal(out, &found)); err != nil {
		return "", fmt.Errorf("find %s in the module cache: %w", module, err)
	}
	from := found.Dir
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "meridian-conformance", filepath.Base(from))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.CopyFS(dir, os.DirFS(from))
}

func prepare(ctx context.Context, w way) error {
	cmd := exec.CommandContext(ctx, "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", setup)
	cmd.Env = append(os.Environ(), w.environment()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("prepare the database: %w: %s", err, out)
	}
	return nil
}

// test runs the suite by one way.
func test(ctx context.Context, dir string, d driver, w way, run string) (map[string]outcome, error) {
	args := []string{"test", "-json", "-count=1", "-p", "1", "-timeout", "8m", "-vet=off", "-mod=mod", "-run", run}
	args = slices.Concat(args, d.flags, d.packages)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), w.environment()...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	all := map[string]outcome{}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		name := filepath.Base(e.Package) + "." + passing.ReplaceAllString(e.Test, "N")
		o := all[name]
		switch e.Action {
		case "output":
			o.output += e.Output
		case "pass", "fail", "skip":
			o.action = e.Action
		}
		all[name] = o
	}
	var exit *exec.ExitError
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return all, ctx.Err()
}

// compare prints the tests that did not end as by the first way.
func compare(ways []way, results map[string]map[string]outcome) error {
	differ := 0
	for _, w := range ways {
		for _, name := range slices.Sorted(maps.Keys(results[w.name])) {
			got, want := results[w.name][name], results[ways[0].name][name]
			first := w.name == ways[0].name
			if first && got.action != "fail" || !first && got.action == want.action {
				continue
			}
			fmt.Printf("-- %s: %s: %s\n%s", w.name, name, got.action, got.output)
			if !first {
				differ++
			}
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d tests do not end as they do directly", differ)
	}
	return nil
}
