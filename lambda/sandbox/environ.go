package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MaxEnviron is how many bytes the customer's variables may have in total,
// names and values.
const MaxEnviron = 4 << 10

// A Runtime is what a function is told about itself.
type Runtime struct {
	Function    string
	Region      string
	API         string // host:port of its Runtime API
	LogStream   string
	MemoryMiB   int
	Concurrency int    // invocations at once; 1 is not mentioned
	Kept        bool   // the environment is one of those kept running without demand
	TaskRoot    string // the folder with bootstrap
	Scratch     string // the folder that it may write to
}

// reserved are the names that a customer's variable must not have. Lambda's
// list also has the names of AWS credentials. They are free here: Meridian
// gives functions none, so a function that uses AWS brings its own.
var reserved = []string{
	"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_MAX_CONCURRENCY", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// CheckEnv says what is wrong with a customer's variables, if anything.
func CheckEnv(env map[string]string) error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		size += len(name) + len(env[name])
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return fmt.Errorf("variable %q: not a name", name)
		case strings.Contains(env[name], "\x00"):
			return fmt.Errorf("variable %s: its value has a zero byte", name)
		case name[0] == '_':
			return fmt.Errorf("variable %s: names with a leading underscore are reserved", name)
		case slices.Contains(reserved, name):
			return fmt.Errorf("variable %s: the name is reserved", name)
		}
	}
	if size > MaxEnviron {
		return fmt.Errorf("variables have %d bytes in total, want at most %d", size, MaxEnviron)
	}
	return nil
}

// Environ returns the whole environment of a process, sorted: Lambda's
// documented variables, the customer's, which may replace those that are not
// reserved, and extra, which nothing replaces.
func Environ(r Runtime, customer, extra map[string]string) []string {
	env := map[string]string{
		"LANG":                     "en_US.UTF-8",
		"TZ":                       ":UTC",
		"PATH":                     "/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"LD_LIBRARY_PATH":          r.TaskRoot + ":" + r.TaskRoot + "/lib",
		"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
		"TMPDIR":                   r.Scratch,
	}
	if r.MemoryMiB > 0 {
		// The collector works harder before the limit ends the process.
		env["GOMEMLIMIT"] = strconv.Itoa(r.MemoryMiB*9/10) + "MiB"
	}
	maps.Copy(env, customer)
	maps.Copy(env, documented(r))
	maps.Copy(env, extra)

	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// documented returns the reserved variables.
func documented(r Runtime) map[string]string {
	env := map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_REGION":                      r.Region,
		"AWS_DEFAULT_REGION":              r.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        r.Function,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(r.MemoryMiB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + r.Function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      r.LogStream,
		"AWS_LAMBDA_RUNTIME_API":          r.API,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"LAMBDA_TASK_ROOT":                r.TaskRoot,
		"LAMBDA_RUNTIME_DIR":              r.TaskRoot,
	}
	if r.Kept {
		env["AWS_LAMBDA_INITIALIZATION_TYPE"] = "provisioned-concurrency"
	}
	if r.Concurrency > 1 {
		env["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(r.Concurrency)
	}
	return env
}
