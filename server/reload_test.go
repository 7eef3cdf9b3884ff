package server

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meridian/config"
)

// A reloading node has nothing but a file, and parts that note what they take.
type reloading struct {
	*node
	dir  string
	log  bytes.Buffer
	took []string // patterns of the behaviours in force
	veto error    // of the second part
}

const reloadBase = `domain: api.example.test
regions: {us-east-1: {primary: true}}
api: openapi.yaml
pki: ./pki
nodes: [{name: n, region: us-east-1, address: 127.0.0.1, roles: [region, edge, control]}]
`

func newReloading(t *testing.T) *reloading {
	t.Helper()
	r := &reloading{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(r.dir, "pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.put(t, "openapi.yaml", "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n")
	r.put(t, "meridian.yaml", reloadBase)
	f, err := config.Load(filepath.Join(r.dir, "meridian.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	self, _ := f.Node("n")
	r.node = &node{file: f, self: self, log: slog.New(slog.NewTextHandler(&r.log, nil))}
	r.takes("first", edgeRules, func(f *config.File) (func(), error) {
		return func() {
			r.took = nil
			for _, b := range f.Behaviors {
				r.took = append(r.took, b.Path)
			}
		}, nil
	})
	r.takes("second", nil, func(*config.File) (func(), error) { return func() {}, r.veto })
	return r
}

func (r *reloading) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestABadFileNeverReplacesAGoodOne (guarantee 6): whatever is wrong, the log and
// the answer say where, and what held holds. The control is the good file before
// and after: that is taken.
func TestABadFileNeverReplacesAGoodOne(t *testing.T) {
	r := newReloading(t)
	good := func(path string) {
		t.Helper()
		r.put(t, "meridian.yaml", reloadBase+"behaviors: [{path: "+path+"}]\n")
		if out, err := r.reload(); err != nil || !slices.Equal(r.took, []string{path}) || !slices.Equal(out.Changed, []string{"behaviors"}) || len(out.Restart) != 0 {
			t.Errorf("%s: %v %+v, %v in force", path, err, out, r.took)
		}
	}
	good("/a")
	for _, x := range []struct{ name, text, api, want string }{
		{"syntax", reloadBase + "behaviors: [\n", "", "meridian.yaml:7"},
		{"a key that is none", reloadBase + "behaviours: []\n", "", "meridian.yaml:6:1"},
		{"an origin that is none", reloadBase + "behaviors: [{path: /b, origin: assets}]\n", "", "meridian.yaml:6"},
		{"another node's file", strings.Replace(reloadBase, "name: n", "name: m", 1), "", `no node under nodes is named "n"`},
		{"a broken API beside it", reloadBase + "behaviors: [{path: /b}]\n", "openapi: 17\n", "openapi.yaml"},
		{"a part that cannot", reloadBase + "behaviors: [{path: /b}]\n", "", "second: it cannot"},
	} {
		r.put(t, "meridian.yaml", x.text)
		if x.api != "" {
			r.put(t, "openapi.yaml", x.api)
		}
		if strings.HasPrefix(x.want, "second") {
			r.veto = errors.New("it cannot")
		}
		r.log.Reset()
		_, err := r.reload()
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(r.log.String(), "the old one holds") || !slices.Equal(r.took, []string{"/a"}) {
			t.Errorf("%s: %v; %v in force; want %q\n%s", x.name, err, r.took, x.want, &r.log)
		}
		r.veto = nil
		r.put(t, "openapi.yaml", "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n")
	}
	good("/c")
}

func TestWhatNeedsARestartIsSaid(t *testing.T) {
	r := newReloading(t)
	r.put(t, "meridian.yaml", reloadBase+"behaviors: [{path: /a}]\nlimits: {cache: 1GiB}\n")
	for _, changed := range [][]string{{"behaviors"}, {}} {
		out, err := r.reload()
		if err != nil || !slices.Equal(out.Changed, changed) || !slices.Equal(out.Restart, []string{"limits"}) {
			t.Errorf("%v %+v", err, out)
		}
	}
	if !strings.Contains(r.log.String(), "needs_restart=limits") {
		t.Errorf("the log does not say it: %s", &r.log)
	}
}
