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
	other := of("database: {name: hello}\n")
	if err := Fits(other, r); err != nil {
		t.Errorf("without data: %v", err)
	}
	data := filepath.Join(state, "nodes", "us-east-1", "postgres")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, fine := range []*config.File{of("database: {name: conduit}\n"), of("")} {
		if err := Fits(fine, r); err != nil {
			t.Errorf("the same database, or none: %v", err)
		}
	}
	err = Fits(other, r)
	if err == nil || !strings.Contains(err.Error(), `database.name: "hello", but the data in `+state+` is of "conduit"; expected that name`) {
		t.Errorf("another database: %v", err)
	}
}
