package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (d *decoder) checkFunction(f *File, fn Function) {
	sources := 0
	for _, s := range []string{fn.Go, fn.Binary, fn.Zip} {
		if s != "" {
			sources++
		}
	}
	if !simple.MatchString(fn.Name) {
		d.fail(fn.pos, fmt.Sprintf("found %q", fn.Name), "a name of lower-case letters, digits, hyphens and underscores")
	}
	switch {
	case sources == 1 || d.broken(fn.pos.key):
	case sources == 0:
		d.fail(fn.pos, "no source", "one of go, binary or zip")
	default:
		d.fail(fn.pos, fmt.Sprintf("%d sources", sources), "one of go, binary or zip")
	}
	d.exists(d.at(fn.pos, "go"), fn.Go, "a folder with a Go main package", true)
	d.exists(d.at(fn.pos, "binary"), fn.Binary, "an executable", false)
	d.exists(d.at(fn.pos, "zip"), fn.Zip, "a zip file", false)
	if fn.Timeout <= 0 || fn.Timeout > 15*time.Minute {
		d.fail(d.at(fn.pos, "timeout"), fmt.Sprintf("timeout is %v", fn.Timeout), "a duration up to 15m")
	}
	if fn.Concurrency < 1 || fn.Concurrency > 1600 {
		d.fail(d.at(fn.pos, "concurrency"), fmt.Sprintf("concurrency is %d", fn.Concurrency), "a number from 1 to 1600")
	}
	if fn.Min < 0 || fn.Max < 1 || fn.Min > fn.Max {
		d.fail(d.at(fn.pos, "min", "max"), fmt.Sprintf("min is %d, max is %d", fn.Min, fn.Max), "0 ≤ min ≤ max, and max at least 1")
	}
	if fn.Memory < 16<<20 {
		d.fail(d.at(fn.pos, "memory"), "memory is "+fn.Memory.String(), "at least 16MiB")
	}
	for _, name := range sorted(fn.Env) {
		d.checkEnv(f, name, fn.Env[name])
	}
}

// reserved are the variables that the Lambda runtime sets itself; one that
// ends in _ stands for all that begin so. With a database, its own come on top.
var (
	reserved         = []string{"AWS_LAMBDA_", "AWS_REGION", "AWS_DEFAULT_REGION", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_EXECUTION_ENV"}
	reservedDatabase = []string{"DATABASE_URL", "DATABASE_URL_", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"}
)

func (d *decoder) checkEnv(f *File, name string, v Value) {
	p := d.names[v.pos.key]
	taken := func(r string) bool { return name == r || strings.HasSuffix(r, "_") && strings.HasPrefix(name, r) }
	switch {
	case !envName.MatchString(name):
		d.fail(p, fmt.Sprintf("the variable %q", name), "letters, digits and underscores, a letter first")
	case slices.ContainsFunc(reserved, taken):
		d.fail(p, fmt.Sprintf("the variable %q", name), "another name: the Lambda runtime sets this one itself")
	case f.Database != nil && slices.ContainsFunc(reservedDatabase, taken):
		d.fail(p, fmt.Sprintf("the variable %q", name), "another name: it leads to the database, and is set with it")
	}
	d.exists(v.pos, v.File, "a file", false)
	if _, ok := f.Secrets[v.Secret]; v.Secret != "" && !ok {
		d.fail(v.pos, fmt.Sprintf("no secret is named %q", v.Secret), "a name under secrets:")
	}
}

func (d *decoder) checkSecret(name string, s Secret) {
	switch {
	case !simple.MatchString(name):
		d.fail(d.names[s.pos.key], fmt.Sprintf("found %q", name), "a name of lower-case letters, digits, hyphens and underscores")
	case d.broken(s.pos.key) || d.broken(s.pos.key+".generate"):
	case (s.File == "") == (s.Generate == 0):
		d.fail(s.pos, foundOf("file", s.File != "", "generate"), "one of them")
	case s.File == "" && (s.Generate < 16 || s.Generate > 1024):
		d.fail(d.at(s.pos, "generate"), fmt.Sprintf("generate is %d", s.Generate), "a number of bytes from 16 to 1024")
	}
	d.exists(d.at(s.pos, "file"), s.File, "a file", false)
}
