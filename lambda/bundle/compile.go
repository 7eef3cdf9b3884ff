package bundle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// compile builds the package main in folder src into tmp. It lets the go
// command write to out, the same file each time: the go command sees by the
// build id in it whether anything that the program depends on has changed, and
// only then links again. It compiles as a plain `go build` does, without
// -trimpath: so what the function shares with whatever was built before, above
// all the standard library, is in the go command's cache already.
func compile(ctx context.Context, src, out, tmp string) error {
	src, err := filepath.Abs(src)
	if err != nil {
		return err
	}
	if info, err := os.Stat(src); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", src)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "PWD="+src)
	if text, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("go build in %s: %w\n%s", src, err, strings.TrimSpace(string(text)))
	}
	return copyFile(out, filepath.Join(tmp, Bootstrap), 0o755)
}
