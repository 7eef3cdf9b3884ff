package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/lifecycle"
	"meridian/internal/sockdir"
	"meridian/postgres/backup"
	"meridian/postgres/instance"
	"meridian/topology"
)

// factBackup is how a region's part of the backups does: a backup.State.
const factBackup = "backup"

// backupConfig returns what the file says of backups.
func backupConfig(b *config.Backup) backup.Config {
	return backup.Config{To: b.To, Endpoint: b.Endpoint, Credentials: b.Credentials, Every: b.Every, Keep: b.Keep}
}

// addBackup keeps copies of this region's database, if the file says where.
func (n *node) addBackup(g *lifecycle.Group, pg *instance.Instance) error {
	db := n.file.Database
	if db.Backup == nil {
		return nil
	}
	place, err := backup.Open(backupConfig(db.Backup))
	if err != nil {
		return err
	}
	n.keeper = backup.New(backupConfig(db.Backup), pg, backup.Deps{
		Place: place, Log: n.log, Metrics: n.tele.Metrics, Region: n.self.Region, Database: db.Name, Major: pg.Binaries().Major(),
		Primary: func() bool { return pg.Role() == instance.Primary && n.tenure.held() },
	})
	g.Add("backup", n.keeper.Run)
	g.Add("backup state", n.tellBackup)
	return nil
}

// tellBackup keeps the fact of how the backups do.
func (n *node) tellBackup(ctx context.Context, ready func()) error {
	return lifecycle.Every(ctx, redraw, ready, func() { n.fact(factBackup, string(mustJSON(n.keeper.State()))) })
}

// keeping returns how the backups do, as the primary's region tells; nil
// without backups.
func (v view) keeping(s *topology.Snapshot) *client.Keeping {
	if v.file.Database == nil || v.file.Database.Backup == nil {
		return nil
	}
	out := &client.Keeping{To: v.file.Database.Backup.To}
	p, ok := s.Primary()
	if !ok {
		out.Error = "no region is the primary"
		return out
	}
	var state backup.State
	if json.Unmarshal([]byte(v.verdicts[p.Node].facts[factBackup]), &state) != nil {
		out.Error = fmt.Sprintf("nothing was heard of %s yet", p.Name)
		return out
	}
	out.Archived, out.Newest, out.Error = state.Archived, state.Newest, state.Error
	return out
}

// serveBackup makes a base backup of this region's database.
func (n *node) serveBackup(w http.ResponseWriter, r *http.Request) {
	if n.keeper == nil {
		http.Error(w, "this region keeps no backups", http.StatusNotFound)
		return
	}
	b, err := n.keeper.Take(r.Context())
	if err != nil {
		n.log.Error("base backup failed", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(b)
}

var errNoBackups = meridian.WithKind(meridian.Invalid, errors.New("this world keeps no backups: its file has no database.backup"))

// backUp lets the primary's region make a base backup.
func (n *node) backUp(ctx context.Context) (client.Backup, error) {
	if n.file.Database == nil || n.file.Database.Backup == nil {
		return client.Backup{}, errNoBackups
	}
	p, ok := n.atlas.Now().Primary()
	if !ok {
		return client.Backup{}, meridian.WithKind(meridian.PrimaryUnavailable, errors.New("no region is the primary"))
	}
	answer, err := n.call(ctx, http.MethodPost, p.Node, "/backup")
	if err != nil {
		return client.Backup{}, meridian.WithKind(meridian.Unavailable, fmt.Errorf("base backup of %s: %w", p.Name, err))
	}
	var b backup.Backup
	if err := json.Unmarshal(answer, &b); err != nil {
		return client.Backup{}, meridian.WithKind(meridian.Unavailable, fmt.Errorf("base backup of %s: %.500s", p.Name, answer))
	}
	return listed(backup.Reach{Backup: b}), nil
}

// backups lists what the backups' place holds, newest first.
func (n *node) backups(ctx context.Context) ([]client.Backup, error) {
	if n.file.Database == nil || n.file.Database.Backup == nil {
		return nil, errNoBackups
	}
	place, err := backup.Open(backupConfig(n.file.Database.Backup))
	if err != nil {
		return nil, err
	}
	all, err := backup.List(ctx, place)
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, fmt.Errorf("list the backups: %w", err))
	}
	slices.SortFunc(all, func(a, b backup.Reach) int { return b.Ended.Compare(a.Ended) })
	out := []client.Backup{}
	for _, r := range all {
		out = append(out, listed(r))
	}
	return out, nil
}

func listed(r backup.Reach) client.Backup {
	b := client.Backup{
		Name: r.Name, System: fmt.Sprint(r.System), Region: r.Region, Timeline: r.Timeline, Ended: r.Ended, Bytes: r.Bytes, From: r.End.String(),
	}
	if r.Until != 0 {
		b.Until = r.Until.String()
	}
	return b
}

// A Moment is up to where a database is restored.
type Moment = instance.Target

// Restore makes the database of a node that does not run, from the backups of
// its file. State is the node's own folder, as in Config.
func Restore(ctx context.Context, f *config.File, region meridian.Region, state string, system uint64, to Moment) (backup.Restored, error) {
	db := f.Database
	if db == nil || db.Backup == nil {
		return backup.Restored{}, errNoBackups
	}
	place, err := backup.Open(backupConfig(db.Backup))
	if err != nil {
		return backup.Restored{}, err
	}
	sockets, err := sockdir.For(state)
	if err != nil {
		return backup.Restored{}, err
	}
	pg, err := instance.New(instance.Config{
		Region: region, Dir: filepath.Join(state, "postgres"), SocketDir: sockets, Database: db.Name, MaxConnections: db.MaxConnections,
	}, instance.Deps{})
	if err != nil {
		return backup.Restored{}, err
	}
	return backup.Restore(ctx, place, system, to, pg)
}
