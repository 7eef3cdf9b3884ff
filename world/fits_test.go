package world

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/config"
)

func TestDataOfAnotherDatabaseIsRefusedBeforeAnythingStarts(t *testing.T) {
	state := t.TempDir()
	api := filepath.Join(state, "openapi.yaml")
	if err := os.WriteFile(api, []byte("openapi: 3.1.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	of := func(database string) *config.File {
		t.Helper()
		f, err := config.Parse("meridian.yaml", state, []byte("domain: api.example.test\nregions: {us-east-1: {primary: true}}\napi: "+api+"\n"+database))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	plan, err := config.Marshal(of("database: {name: conduit}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := Record{State: state, Plan: filepath.Join(state, "world.yaml")}
	if err := os.WriteFile(r.Plan, plan, 0o644); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(state, "nodes", "us-east-1")
	if err := os.MkdirAll(node, 0o755); err != nil {
		t.Fatal(err)
	}
	empty := func(string) bool { return false }
	founded := func(state string) bool { return state == node }
	for _, fine := range []error{
		Fits(of("database: {name: hello}\n"), r, empty),
		Fits(of("database: {name: conduit}\n"), r, founded),
		Fits(of(""), r, founded),
	} {
		if fine != nil {
			t.Errorf("no data, the same database, or none: %v", fine)
		}
	}
	err = Fits(of("database: {name: hello}\n"), r, founded)
	if err == nil || !strings.Contains(err.Error(), `database.name: "hello", but the data in `+state+` is of "conduit"; expected that name`) {
		t.Errorf("another database: %v", err)
	}
}
