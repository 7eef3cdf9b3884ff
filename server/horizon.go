package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"meridian"
	"meridian/postgres"
	"meridian/postgres/instance"
)

// horizonPrefix + database + "/" + timeline that ended: a postgres.Horizon.
const horizonPrefix = "switch/horizon/"

const (
	// searchBack is how much log before a fork is searched. What was acknowledged
	// with a position past the fork committed shortly before it.
	searchBack = 32 << 20
	// searchMost bounds the search where a successor was lost before it had said
	// what it found, so that an older fork is searched for as well.
	searchMost = 1 << 30
	// searchEvery is how often it is tried.
	searchEvery = time.Second
	// tellAfter is how long a promotion has to tell of its fork by itself.
	tellAfter = 5 * time.Second
	// horizonsKept is how many horizons hold handles: each is some 36 KiB in the
	// store, and in every node's copy.
	horizonsKept = 8
	// nothing is the Since of a horizon that says of no write whether it is there.
	nothing = 1<<63 - 1
	// fatePatience is how long a request waits until the successor has said.
	fatePatience = time.Second
)

func forkKey(db string, timeline uint32) string {
	return fmt.Sprintf("%s%s/%08d", forkPrefix, db, timeline)
}

// parted is where the database's timelines ended, as of one revision.
type parted struct {
	rev   int64
	forks []postgres.Fork
}

// forks returns where the timelines of this node's database ended, oldest
// first.
func (n *node) forks() []postgres.Fork {
	v := n.store.Now()
	if p := n.parted.Load(); p != nil && p.rev == v.Rev() {
		return p.forks
	}
	p := &parted{rev: v.Rev()}
	each(v, forkPrefix+n.file.Database.Name+"/", n.log, func(_ string, f postgres.Fork) { p.forks = append(p.forks, f) })
	n.parted.Store(p)
	return p.forks
}

// handed reports whether the holder of now got the database in a planned move.
func (n *node) handed() bool {
	r, _, _ := n.tenure.now()
	return r.Gate != 0
}

// horizon returns what a successor said of the time before a timeline's end, or
// nil.
func (n *node) horizon(timeline uint32) *postgres.Horizon {
	e, ok := n.store.Now().Get(horizonKey(n.file.Database.Name, timeline))
	if !ok {
		return nil
	}
	var h postgres.Horizon
	if err := json.Unmarshal(e.Value, &h); err != nil {
		n.log.Error("entry of the store cannot be read, left out", "key", e.Key, "why", err.Error())
		return nil
	}
	return &h
}

func horizonKey(db string, timeline uint32) string {
	return fmt.Sprintf("%s%s/%08d", horizonPrefix, db, timeline)
}

// fate returns what the gateway asks of tokens. It waits a moment for a
// successor that has yet to say what it found.
func (n *node) fate(proxy *postgres.Proxy) func(context.Context, meridian.Token) meridian.Fate {
	return func(ctx context.Context, t meridian.Token) meridian.Fate {
		ctx, cancel := context.WithTimeout(ctx, fatePatience)
		defer cancel()
		if t.Database != n.file.Database.Name {
			return meridian.Fate{Is: meridian.Valid}
		}
		var f meridian.Fate
		await(ctx, n.store, func() bool {
			f = proxy.Fate(t)
			return f.Is != meridian.Sought
		})
		return f
	}
}

// untold puts into the store where the timelines of this primary's history ended,
// as far as nobody has: whoever promoted may have been lost before it could.
func (s *steward) untold(ctx context.Context) error {
	o, err := s.search(ctx, nothing) // reads no log
	if err != nil {
		return err
	}
	v, next := s.store.Now(), o.Timeline
	for _, timeline := range slices.Backward(slices.Sorted(maps.Keys(o.Forks))) {
		key := forkKey(s.db, timeline)
		if _, told := v.Get(key); !told {
			f := postgres.Fork{Timeline: timeline, LSN: o.Forks[timeline], Next: next}
			if _, err := s.store.CompareAndSwap(ctx, key, 0, mustJSON(f)); err != nil {
				return err
			}
		}
		next = timeline
	}
	return nil
}

// keepHorizons says for each fork of this primary's history what its log holds
// of the time before, as long as nobody has said it, until ctx is over. The
// store keeps it when the log is gone.
func (s *steward) keepHorizons(ctx context.Context) {
	tick := time.NewTicker(searchEvery)
	defer tick.Stop()
	said := map[uint32]bool{} // the store may show it a little later
	since := time.Now()       // as of when it is the primary; zero once its history was looked through
	for {
		watch := s.store.Watch()
		switch primary := s.started.Load() && s.pg.Role() == instance.Primary; {
		case !primary:
			since = time.Now()
		case !since.IsZero() && time.Since(since) > tellAfter:
			if err := s.untold(ctx); err == nil {
				since = time.Time{}
			} else if ctx.Err() == nil {
				s.log.Warn("whether the store knows all forks of the history is not known", "why", err.Error())
			}
		}
		if forks := s.unsaid(said); len(forks) > 0 && s.started.Load() && s.pg.Role() == instance.Primary {
			if err := s.say(ctx, forks, said); err != nil && ctx.Err() == nil {
				s.log.Warn("the log was not searched for the writes that it holds", "why", err.Error())
				watch = nil // not again at once
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-watch:
		case <-tick.C:
		}
	}
}

// unsaid returns the forks that nobody planned and that have no horizon.
func (s *steward) unsaid(said map[uint32]bool) (out []postgres.Fork) {
	v := s.store.Now()
	each(v, forkPrefix+s.db+"/", s.log, func(_ string, f postgres.Fork) {
		if _, there := v.Get(horizonKey(s.db, f.Timeline)); !there && !said[f.Timeline] && !f.Planned {
			out = append(out, f)
		}
	})
	return out
}

// say searches the log and puts what it holds into the store. Of an older
// timeline that is no part of the history here nobody can tell anything; a newer
// one is not for this region to speak of.
func (s *steward) say(ctx context.Context, forks []postgres.Fork, said map[uint32]bool) error {
	own, err := s.search(ctx, nothing) // reads no log
	if err != nil {
		return err
	}
	forks = slices.DeleteFunc(forks, func(f postgres.Fork) bool { return f.Timeline >= own.Timeline })
	if len(forks) == 0 {
		return nil
	}
	from := forks[len(forks)-1].LSN
	from -= min(from, searchMost)
	from = max(from, forks[0].LSN-min(forks[0].LSN, searchBack))
	began := time.Now()
	o, err := s.search(ctx, from)
	if err != nil {
		return err
	}
	for _, f := range forks {
		h := o.Horizon(f)
		if o.Forks[f.Timeline] != f.LSN {
			h = postgres.Horizon{Timeline: f.Timeline, Since: nothing}
		}
		if _, err := s.store.CompareAndSwap(ctx, horizonKey(s.db, f.Timeline), 0, mustJSON(h)); err != nil {
			return err
		}
		said[f.Timeline] = true
		s.log.Info("primary: the log was searched for the writes that it holds", "timeline", f.Timeline, "fork", f.LSN.String(),
			"since", h.Since.String(), "writes", len(h.Handles), "took", time.Since(began))
	}
	return s.forget(ctx)
}

// forget drops the handles of all but the newest horizons: of what came before
// those forks nobody can tell any more.
func (s *steward) forget(ctx context.Context) error {
	all := s.store.Now().Prefix(horizonPrefix + s.db + "/")
	for _, e := range all[:max(0, len(all)-horizonsKept)] {
		var h postgres.Horizon
		if err := json.Unmarshal(e.Value, &h); err != nil || len(h.Handles) == 0 {
			continue
		}
		h.Handles, h.Since = nil, nothing
		if _, err := s.store.CompareAndSwap(ctx, e.Key, e.Rev, mustJSON(h)); err != nil {
			return err
		}
	}
	return nil
}
