package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/client"
	"meridian/test/history"
	"meridian/test/operator"
)

// Settings say what episodes are like.
type settings struct {
	seed    uint64
	length  time.Duration
	faults  []fault
	clients int    // in each region
	out     string // where histories of violations go

	durability meridian.Durability
}

// dice are those of one episode of a seed.
func dice(seed, episode uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, episode)) }

// shown is how many violations of an episode are printed.
const shown = 5

// recovery bounds how long a world may take to be whole after all was healed.
const recovery = 45 * time.Second

// play plays episode n on a world and prints what was done and seen.
func play(ctx context.Context, w operator.World, s settings, n uint64, out io.Writer) (verdict, error) {
	status, err := w.Status(ctx)
	if err != nil {
		return verdict{}, err
	}
	r := dice(s.seed, n)
	p := draw(r, s.faults, s.length)
	fmt.Fprintf(out, "episode %d of seed %d: %s\n", n, s.seed, p)
	urls := map[string]string{}
	for _, x := range status.Regions {
		urls[x.Name] = x.Postgres + "?sslmode=disable"
	}
	order := roles(status, nil)
	if len(order) != 3 {
		return verdict{}, fmt.Errorf("want one primary of three regions, found %d regions", len(urls))
	}
	run := newRun(fmt.Sprintf("%x-%d-%d", time.Now().UnixNano(), s.seed, n))
	nem := &nemesis{world: w, begin: run.begin, roles: order, hit: map[string][]string{}, say: func(format string, args ...any) {
		fmt.Fprintf(out, "  "+format+"\n", args...)
	}}
	live, cancel := context.WithTimeout(ctx, s.length)
	defer cancel()
	var wait sync.WaitGroup
	for i, region := range slices.Sorted(slices.Values(order)) {
		for c := range s.clients {
			one := &session{run: run, dice: dice(r.Uint64(), uint64(i*s.clients+c)), region: region, url: urls[region]}
			wait.Go(func() { one.work(live) })
		}
	}
	nem.follow(ctx, p)
	<-live.Done()
	rec := record{plan: p, durable: s.durability.Quorum || s.durability.Sync != ""}
	if len(p) > 0 {
		if _, err := nem.run(ctx, healPatience, "fault", "heal"); err != nil {
			rec.wrong = append(rec.wrong, err.Error())
		}
	}
	wait.Wait()
	healed := time.Now()
	rec.wrong = append(rec.wrong, run.finish(ctx, w, urls, &rec)...)
	v := judge(rec)
	v.notes = append(v.notes, fmt.Sprintf("whole after %v", time.Since(healed).Round(10*time.Millisecond)))
	v.print(out, n)
	if len(v.violations) > 0 {
		dir := filepath.Join(s.out, run.name)
		err = errors.Join(rec.keep(dir), keepLogs(dir, w.State))
	}
	return v, err
}

func (v verdict) print(out io.Writer, n uint64) {
	fmt.Fprintf(out, "  %s\n", strings.Join(v.notes, "; "))
	for i, x := range v.violations {
		if i == shown {
			fmt.Fprintf(out, "  and %d more\n", len(v.violations)-shown)
			break
		}
		fmt.Fprintf(out, "  VIOLATION: %s\n", x)
	}
	if len(v.violations) == 0 {
		fmt.Fprintf(out, "  episode %d: good\n", n)
	}
}

// prepare makes the tables, through any region.
func prepare(ctx context.Context, w operator.World) error {
	s, err := w.Status(ctx)
	if err != nil {
		return err
	}
	for _, r := range s.Regions {
		if r.Postgres == "" {
			return fmt.Errorf("the world of %s has no database", w.State)
		}
	}
	conn, err := dial(ctx, s.Regions[0].Postgres)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	_, err = conn.Exec(ctx, schema)
	return err
}

// finish waits until the world is whole, reads what is there through every
// region, and completes the record. What it returns is wrong.
func (r *run) finish(ctx context.Context, w operator.World, urls map[string]string, rec *record) (wrong []string) {
	rec.lists, rec.accesses, rec.errors = r.lists.Txns(), r.accesses, maps.Clone(r.errors)
	defer func() { rec.entries = r.entries }()
	err := operator.Until(ctx, recovery, func(ctx context.Context) error {
		s, err := w.Status(ctx)
		if err == nil {
			err = operator.Whole(s)
		}
		if err == nil {
			err = r.touch(ctx, urls)
		}
		if err == nil {
			err = follows(s)
		}
		return err
	})
	if err != nil {
		return []string{"the world is not whole after all was healed: " + err.Error()}
	}
	type end struct {
		last  history.Txn
		there []int64
	}
	var ends []end
	for _, region := range slices.Sorted(maps.Keys(urls)) {
		var e end
		err := operator.Until(ctx, recovery, func(ctx context.Context) (err error) {
			e.last, e.there, err = r.readAll(ctx, region, urls[region])
			return err
		})
		if err != nil {
			return []string{"after all was healed, " + region + " does not answer: " + err.Error()}
		}
		ends = append(ends, e)
		if x := ends[0]; !slices.Equal(x.there, e.there) || !slices.EqualFunc(x.last.Ops, e.last.Ops, func(a, b history.Op) bool { return slices.Equal(a.List, b.List) }) {
			wrong = append(wrong, fmt.Sprintf("in the end %s does not show what %s does", region, x.last.Region))
		}
	}
	rec.lists, rec.there, rec.seen = append(rec.lists, ends[0].last), ends[0].there, true
	return wrong
}

// touch inserts one more id, through whatever region is first: writes are
// back, replicas have something to replay, and the last term is known.
func (r *run) touch(ctx context.Context, urls map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	region := slices.Sorted(maps.Keys(urls))[0]
	s := &session{run: r, region: region, url: urls[region]}
	if !s.connect(ctx) {
		return fmt.Errorf("the proxy of %s takes no connection", region)
	}
	defer s.leave()
	s.insert(ctx)
	last := &r.entries[len(r.entries)-1]
	if last.Outcome != history.OK {
		return fmt.Errorf("a write through %s: %s", region, last.Note)
	}
	last.Note = atEnd
	return nil
}

// atEnd marks entries that were made after the episode.
const atEnd = "after all was healed"

// follows names a standby that does not keep up, though nobody writes much.
func follows(s client.Status) error {
	for _, r := range s.Regions {
		if !r.Primary && (r.ReplayLag < 0 || r.ReplayLag > 2000) {
			return fmt.Errorf("the standby of %s is %d ms behind (-1: not known)", r.Name, r.ReplayLag)
		}
	}
	return nil
}

// readAll reads all lists and the ledger through a region, on its own standby
// if that has all that is committed.
func (r *run) readAll(ctx context.Context, region, url string) (t history.Txn, there []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	conn, err := dial(ctx, url)
	if err != nil {
		return t, nil, err
	}
	defer conn.Close(ctx)
	t = history.Txn{Region: region, Call: r.now(), Outcome: history.OK}
	if _, err := conn.Exec(ctx, "set meridian.consistency = 'global'"); err != nil {
		return t, nil, err
	}
	for k := range lists {
		t.Ops = append(t.Ops, history.Op{Key: r.key("l", k)})
	}
	rows, err := conn.Query(ctx, "select k, v from episode_lists where k like $1", r.name+"-%")
	if err != nil {
		return t, nil, err
	}
	var key string
	var list []int64
	_, err = pgx.ForEachRow(rows, []any{&key, &list}, func() error {
		for i := range t.Ops {
			if t.Ops[i].Key == key {
				t.Ops[i].List = list
			}
		}
		list = nil
		return nil
	})
	if err != nil {
		return t, nil, err
	}
	rows, err = conn.Query(ctx, "select id from episode_ledger where run = $1 order by id", r.name)
	if err != nil {
		return t, nil, err
	}
	there, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	t.Return = r.now()
	return t, there, err
}

// keepLogs copies what the nodes of a world have said so far: the world of a
// violation goes with its episode if it does not recover, and its logs with it.
func keepLogs(dir, state string) error {
	return os.CopyFS(filepath.Join(dir, "log"), os.DirFS(filepath.Join(state, "log")))
}

// said and wide bound what lastWords returns of a node: lines, and bytes of each.
const said, wide = 8, 320

// lastWords returns the ends of a world's logs: where the folder of a violation
// is not to be had, they are all that tells what the nodes were at.
func lastWords(state string) string {
	var b strings.Builder
	logs, _ := filepath.Glob(filepath.Join(state, "log", "*.log"))
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(&b, err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		for _, l := range lines[max(0, len(lines)-said):] {
			fmt.Fprintf(&b, "  %s\n", l[:min(len(l), wide)])
		}
	}
	return b.String()
}

// keep writes the histories to a folder: lists as the scripts of package
// history have them.
func (r record) keep(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var accesses, entries strings.Builder
	for _, a := range r.accesses {
		fmt.Fprintln(&accesses, a)
	}
	for _, e := range r.entries {
		fmt.Fprintf(&entries, "%+v\n", e)
	}
	for name, text := range map[string]string{"plan": r.plan.String(), "lists": history.Format(r.lists), "registers": accesses.String(), "ledger": entries.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
