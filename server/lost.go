package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/postgres/instance"
)

// serveLost answers with the transactions that this region acknowledged while
// it was the primary, and that the primary of now does not have.
func (n *node) serveLost(w http.ResponseWriter, r *http.Request) {
	out, err := n.lostHere(r.Context())
	if err != nil {
		n.log.Error("what was lost cannot be listed", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(out)
}

func (n *node) lostHere(ctx context.Context) ([]client.LostWrite, error) {
	out := []client.LostWrite{}
	tails, err := instance.Tails(databaseIn(n.cfg.State))
	if err != nil {
		return nil, err
	}
	for _, t := range tails {
		lost, err := instance.Lost(ctx, t.Dir)
		if err != nil {
			return nil, err
		}
		for _, l := range lost {
			out = append(out, client.LostWrite{
				Region: string(n.self.Region), Timeline: t.Spans[0].Timeline, LSN: l.LSN.String(), XID: l.XID, Handle: l.Handle, Kept: t.Kept,
			})
		}
	}
	return out, nil
}

// lost gathers what all regions list, and their further standbys, which may have
// what a region lost with its disk. A node that does not answer is an error: a
// list that lacks some would be taken for the whole.
func (n *node) lost(ctx context.Context) ([]client.LostWrite, error) {
	if theirs(n.file) {
		return nil, errTheirs
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := []client.LostWrite{}
	var failed error
	for _, o := range n.world().Nodes {
		if !o.Has(config.RoleRegion) && !o.Has(config.RoleStandby) || n.file.Database == nil {
			continue
		}
		wg.Go(func() {
			b, err := n.ask(ctx, o.Name, "/lost")
			var found []client.LostWrite
			if err == nil {
				err = json.Unmarshal(b, &found)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = meridian.WithKind(meridian.Unavailable, fmt.Errorf("what %s lost is not known: %w", o.Name, err))
			}
			out = append(out, found...)
		})
	}
	wg.Wait()
	return once(out), failed
}

// once orders a list, and leaves each write in it once: a region and its further
// standbys may both have kept it.
func once(all []client.LostWrite) []client.LostWrite {
	slices.SortFunc(all, func(a, b client.LostWrite) int {
		return cmp.Or(a.Kept.Compare(b.Kept), cmp.Compare(a.Region, b.Region), cmp.Compare(a.LSN, b.LSN))
	})
	seen, out := map[client.LostWrite]bool{}, []client.LostWrite{}
	for _, w := range all {
		key := w
		key.Kept = time.Time{}
		if !seen[key] {
			seen[key] = true
			out = append(out, w)
		}
	}
	return out
}
