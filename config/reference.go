package config

import _ "embed"

//go:embed reference.yaml
var reference string

// Reference returns a file to start from: the required keys, and commented out
// every other one with its default or an example, and what it means. Without
// the # before its keys it is a good file too. `meridian config` prints it.
func Reference() string { return reference }
