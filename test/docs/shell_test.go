package docs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meridian/test/harness"
)

// patience bounds the commands of one page.
const patience = 3 * time.Minute

// TestCommandsWithoutAWorldRun runs the sh blocks of each page in a folder of
// its own, with the examples and the files that the page shows.
func TestCommandsWithoutAWorldRun(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, page := range pages(t) {
		script := scriptOf(t, page, false)
		if script == "" {
			continue
		}
		ran++
		t.Run(filepath.Base(page), func(t *testing.T) {
			dir := harness.Folder(t)
			bin(t, dir)
			if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS(filepath.Join(root, "examples"))); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"go.mod", "go.sum"} { // go build needs them around the examples
				write(t, filepath.Join(dir, name), read(t, name))
			}
			for _, b := range blocks(t, page) {
				if b.lang == "yaml" && b.has("file") {
					fixtures(t, dir, b)
				}
			}
			run(t, dir, script)
		})
	}
	if ran < 3 {
		t.Errorf("only %d pages have commands", ran)
	}
}

// TestCommandsRunInAWorld runs the sh world blocks of all pages in one world,
// as a reader would who goes from page to page.
func TestCommandsRunInAWorld(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Log("a whole world is for the long run")
		return
	}
	dir := harness.Folder(t)
	bin(t, dir)
	w := harness.Up(t, "examples/conduit/meridian.yaml", filepath.Join(dir, ".meridian"))
	var s struct{ Block int }
	if err := json.Unmarshal([]byte(w.Do("status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range pages(t) {
		script := scriptOf(t, page, true)
		if script == "" {
			continue
		}
		ran++
		// The pages show the addresses of a machine's first world.
		script = strings.ReplaceAll(script, "127.10.", fmt.Sprintf("127.%d.", s.Block))
		if !t.Run(filepath.Base(page), func(t *testing.T) { run(t, dir, script) }) {
			w.Do("fault", "heal") // what the page broke and did not mend
		}
	}
	if ran < 4 {
		t.Errorf("only %d pages have commands for a world", ran)
	}
}

// scriptOf joins the sh blocks of a page, each with a line that says on
// standard error which one begins.
func scriptOf(t *testing.T, page string, world bool) (script string) {
	t.Helper()
	for _, b := range blocks(t, page) {
		if b.lang == "sh" && b.has("world") == world {
			script += fmt.Sprintf("echo '--- %s:%d' >&2\n%s", b.page, b.line, b.text)
		}
	}
	return script
}

// bin puts meridian into dir/bin, where make does.
func bin(t *testing.T, dir string) {
	t.Helper()
	mkdir(t, filepath.Join(dir, "bin"))
	if err := os.Symlink(harness.Binary(t), filepath.Join(dir, "bin/meridian")); err != nil {
		t.Fatal(err)
	}
}

// run runs a script in dir; the first line that fails ends it.
func run(t *testing.T, dir, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "MERIDIAN_STATE=.meridian", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
}

// TestEveryCommandShownExists reads the code spans and blocks for `meridian
// COMMAND`: what help does not list is not shown.
func TestEveryCommandShownExists(t *testing.T) {
	out, err := exec.Command(harness.Binary(t), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?:^|[`(]|    )meridian ([a-z-]+)")
	for _, page := range pages(t) {
		for i, line := range strings.Split(read(t, page), "\n") {
			for _, m := range shown.FindAllStringSubmatch(line, -1) {
				if !regexp.MustCompile(`(?m)^  ` + m[1] + `\s`).Match(out) {
					t.Errorf("%s:%d: meridian %s is shown, and is no command", page, i+1, m[1])
				}
			}
		}
	}
}
