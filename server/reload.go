package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/lifecycle"
)

// A taker is a part of a node that takes a new file while it runs.
type taker struct {
	part string
	keys []string // top-level keys of the file that it takes; no other change is taken by anybody
	// prepare makes ready what a file says, without any effect. swap then puts it
	// in place of what is; it cannot fail. What was begun before goes on with what
	// it began with.
	prepare func(*config.File) (swap func(), err error)
}

// reloads is what a node does with new files: build, validate, swap, drain.
type reloads struct {
	takers []taker // complete before the node runs

	mu    sync.Mutex        // guards what follows, and is held while a file is taken
	force *config.File      // the newest that was taken, as far as parts took it
	read  map[string]string // of keys whose files are read: what was read
}

// takes adds a part that takes new files. A file is taken by all of them or, if
// one refuses, by none.
func (n *node) takes(part string, keys []string, prepare func(*config.File) (swap func(), err error)) {
	n.reloads.takers = append(n.reloads.takers, taker{part, keys, prepare})
}

// reload reads the node's file again. A file with a mistake changes nothing
// (guarantee 6). It returns which keys now hold as the file has them, and which
// of those that differ from the start of this node need a restart of it.
func (n *node) reload() (client.Reloaded, error) {
	r := &n.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	began := time.Now()
	out := client.Reloaded{Node: n.self.Name, Changed: []string{}, Restart: []string{}}
	f, swaps, err := n.prepare()
	if err != nil {
		n.log.Error("the new file is refused, the old one holds", "file", n.file.Path, "why", err.Error())
		return out, meridian.WithKind(meridian.Invalid, err)
	}
	for _, swap := range swaps {
		swap()
	}
	live := r.keys()
	was := n.file
	if r.force != nil {
		was = r.force
	}
	changed, read := config.Changed(was, f), contents(f)
	for key, text := range read {
		if r.read != nil && text != r.read[key] && !slices.Contains(changed, key) {
			changed = append(changed, key)
		}
	}
	r.read = read
	for _, key := range changed {
		if slices.Contains(live, key) {
			out.Changed = append(out.Changed, key)
		}
	}
	for _, key := range config.Changed(n.file, f) {
		if !slices.Contains(live, key) && !slices.Contains(Live(), key) { // else it is of parts that this node has not
			out.Restart = append(out.Restart, key)
		}
	}
	r.force, out.Took = f, time.Since(began)
	n.log.Info("file taken", "file", f.Path, "changed", strings.Join(out.Changed, " "), "needs_restart", strings.Join(out.Restart, " "), "took", out.Took)
	return out, nil
}

// prepare reads the file, checks it and all that it points at, and has every
// part make it ready.
func (n *node) prepare() (f *config.File, swaps []func(), err error) {
	if f, err = config.Load(n.file.Path); err != nil {
		return nil, nil, err
	}
	if _, ok := f.Node(n.self.Name); !ok {
		return nil, nil, fmt.Errorf("%s: no node under nodes is named %q", f.Path, n.self.Name)
	}
	if err := Check(f); err != nil {
		return nil, nil, err
	}
	for _, t := range n.reloads.takers {
		swap, err := t.prepare(f)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", t.part, err)
		}
		swaps = append(swaps, swap)
	}
	return f, swaps, nil
}

// inForceNow returns the file that was taken last.
func (n *node) inForceNow() *config.File {
	n.reloads.mu.Lock()
	defer n.reloads.mu.Unlock()
	if f := n.reloads.force; f != nil {
		return f
	}
	return n.file
}

// contents returns digests of what stands in the files of functions and stores,
// by the keys under which they are named.
func contents(f *config.File) map[string]string {
	functions, stores, signs := sha256.New(), sha256.New(), sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.EdgeFunctions)) {
		b, _ := os.ReadFile(f.EdgeFunctions[name].Code) // was read as the file was checked
		fmt.Fprintf(functions, "%q %q", name, b)
	}
	for _, name := range slices.Sorted(maps.Keys(f.KeyValueStores)) {
		b, _ := os.ReadFile(f.KeyValueStores[name].File)
		fmt.Fprintf(stores, "%q %q", name, b)
	}
	for _, s := range f.DynamicOrigins.Sign {
		b, _ := os.ReadFile(s.Credentials)
		fmt.Fprintf(signs, "%q", b)
	}
	return map[string]string{"edgeFunctions": string(functions.Sum(nil)), "keyValueStores": string(stores.Sum(nil)), "dynamicOrigins": string(signs.Sum(nil))}
}

func (r *reloads) keys() (keys []string) {
	for _, t := range r.takers {
		keys = append(keys, t.keys...)
	}
	return keys
}

// Live returns the keys of the file of which nodes take new values while they
// run.
func Live() (keys []string) { return slices.Concat(edgeRules, storeRules) }

// addReloads has the node read its file again when somebody asks for it by SIGHUP,
// in production.
func (n *node) addReloads(g *lifecycle.Group) {
	if n.leash != nil {
		return
	}
	g.Add("reload", func(ctx context.Context, ready func()) error {
		ready()
		for {
			select {
			case <-n.cfg.Asked.Reload:
				n.reload() // says in the log what became of it
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// serveReload lets the node that an operator asked make this one reload.
func (n *node) serveReload(w http.ResponseWriter, _ *http.Request) {
	out, err := n.reload()
	if err != nil {
		out.Why = err.Error()
	}
	json.NewEncoder(w).Encode(out)
}

// reloadAll has every node read its file again, and returns what each says. That
// one refuses is no error: the answer says so.
func (n *node) reloadAll(ctx context.Context) ([]client.Reloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	nodes := n.world().Nodes
	out := make([]client.Reloaded, len(nodes))
	var all sync.WaitGroup
	for i, o := range nodes {
		all.Go(func() {
			b, err := n.call(ctx, http.MethodPost, o.Name, "/reload")
			if err == nil && json.Unmarshal(b, &out[i]) != nil {
				err = errors.New(strings.TrimSpace(string(b))) // a node of an older version
			}
			if err != nil {
				out[i].Why = err.Error()
			}
			out[i].Node = o.Name
		})
	}
	all.Wait()
	return out, nil
}

const reloadPatience = 10 * time.Second
