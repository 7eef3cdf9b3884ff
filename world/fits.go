package world

import (
	"fmt"
	"path/filepath"
	"slices"

	"meridian/config"
)

// Fits reports a mistake if f cannot go on with the data of the world whose
// record is r: a database is founded under one name and keeps it. founded says
// whether a node has its database already, by its state folder.
func Fits(f *config.File, r Record, founded func(state string) bool) error {
	old, err := config.Load(r.Plan)
	if err != nil || old.Database == nil || f.Database == nil || old.Database.Name == f.Database.Name {
		return nil // a plan that cannot be read is written anew
	}
	nodes, err := filepath.Glob(filepath.Join(r.State, "nodes", "*"))
	if err != nil || !slices.ContainsFunc(nodes, founded) {
		return nil
	}
	return config.Errors{{
		File: f.Path, Key: "database.name",
		Found:    fmt.Sprintf("%q, but the data in %s is of %q", f.Database.Name, r.State, old.Database.Name),
		Expected: "that name, or another folder by --state",
	}}
}
