package instance

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian"
)

// TestSettings writes the configuration file for the settings of a config, one
// a line, or says why they are refused.
func TestSettings(t *testing.T) {
	datadriven.RunTest(t, "testdata/settings", func(t *testing.T, d *datadriven.TestData) string {
		cfg := Config{Region: "eu-west-1", Dir: "/d", SocketDir: "/s", Database: "conduit", Role: "conduit", Settings: map[string]string{}}
		for line := range strings.Lines(d.Input) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			cfg.Settings[name] = strings.ReplaceAll(value, `\n`, "\n")
		}
		if err := cfg.check(); err != nil {
			return err.Error() + "\n"
		}
		all := conf(cfg.settings("/s/upstream"))
		if d.Cmd == "all" {
			return all
		}
		var b strings.Builder
		for line := range strings.Lines(all) {
			name, _, _ := strings.Cut(line, " = ")
			if _, ok := cfg.Settings[name]; ok {
				b.WriteString(line)
			}
		}
		return b.String()
	})
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	good := Config{Region: "eu-west-1", Dir: "/d", SocketDir: "/s", Database: "conduit"}
	if _, err := New(good, Deps{}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"no region":                     func(c *Config) { c.Region = "" },
		"want an absolute path":         func(c *Config) { c.Dir = "state" },
		"at most 60":                    func(c *Config) { c.SocketDir = "/" + strings.Repeat("s", 60) },
		`database ""`:                   func(c *Config) { c.Database = "" },
		`database "pg_x"`:               func(c *Config) { c.Database = "pg_x" },
		`role "meridian" is Meridian's`: func(c *Config) { c.Role = "meridian" },
		"control characters":            func(c *Config) { c.Role = "a\nDROP" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg, Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestSlotsAreNamedForRegions(t *testing.T) {
	for region, want := range map[string]string{"ap-southeast-1": "ap_southeast_1", "Köln.2": "k_ln_2"} {
		if got := Slot(meridian.Region(region)); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}
