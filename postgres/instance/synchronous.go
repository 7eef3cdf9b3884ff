package instance

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"meridian"
)

// syncNames is PostgreSQL's synchronous_standby_names.
type syncNames struct {
	mu      sync.Mutex // guards what follows
	want    string
	applied bool // PostgreSQL has read it, or reads it when it starts
}

// Synchronous makes commits wait, once this PostgreSQL is the primary, until
// need of the regions' standbys have them on their disks, and hides their rows
// until then; a need of 0 waits for nobody. It holds over restarts.
//
// It is half of the guard only: a statement that is canceled while it waits
// succeeds with a warning. Whoever tells clients of success must look himself
// whether the standbys have it.
func (in *Instance) Synchronous(ctx context.Context, need int, of []meridian.Region) error {
	in.sync.mu.Lock()
	defer in.sync.mu.Unlock()
	if names := standbyNames(need, of); names != in.sync.want {
		in.sync.want, in.sync.applied = names, false
	}
	if s, _ := in.life.now(); in.sync.applied || !s.up {
		return nil // the next start writes it
	}
	// Not by configure: a standby that is being promoted must not get its
	// signal file again.
	if err := in.run.write(filepath.Join(in.data(), "postgresql.conf"), in.confWith(in.sync.want)); err != nil {
		return err
	}
	if err := in.exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	in.sync.applied = true
	in.log.Info("synchronous standbys", "names", in.sync.want)
	return nil
}

// conf returns the configuration file.
func (in *Instance) conf() string {
	in.sync.mu.Lock()
	defer in.sync.mu.Unlock()
	return in.confWith(in.sync.want)
}

func (in *Instance) confWith(names string) string {
	s := in.cfg.settings(in.upstream())
	s["synchronous_standby_names"] = names
	return conf(s)
}

// standbyNames writes synchronous_standby_names.
func standbyNames(need int, of []meridian.Region) string {
	if need == 0 {
		return ""
	}
	var names []string
	for _, r := range of {
		names = append(names, `"`+Slot(r)+`"`)
	}
	return fmt.Sprintf("ANY %d (%s)", need, strings.Join(names, ", "))
}
