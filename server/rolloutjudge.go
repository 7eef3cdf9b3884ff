package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/rollout"
)

// A jury tells the other edges what this one counts of a rollout, hears what
// they count, and judges by the sum: every edge does, so that none is needed.
type jury struct {
	*rollouts
	others *hearsay
	alive  func() []string // edges, as the map says, this one among them

	writing atomic.Bool   // a decision is on its way to the store
	kick    chan struct{} // holds one wish to judge now
	words   sync.Mutex    // guards what follows
	heard   map[string]heardReport
	waits   string // what the newest decision waits for
}

type heardReport struct {
	rollout.Report
	at time.Time
}

const (
	// rolloutService is the service of the backbone.
	rolloutService = "rollout"
	// rolloutEvery is how often an edge tells and judges, and rolloutIdle how often
	// it tells of a rollout that is over: an edge that is cut off from the store
	// hears of it so.
	rolloutEvery = 250 * time.Millisecond
	rolloutIdle  = 2 * time.Second
	// rolloutLimit bounds the writing of one decision.
	rolloutLimit = 2 * time.Second
	// rolloutHeard is how long a report counts.
	rolloutHeard = 3 * time.Second
	// maxReport bounds one report, in bytes.
	maxReport = 16 << 10
)

func newJury(n *node, r *rollouts) *jury {
	return &jury{
		rollouts: r, others: newHearsay(n, rolloutService), alive: n.aliveEdges,
		kick: make(chan struct{}, 1), heard: map[string]heardReport{},
	}
}

// run tells, hears and judges until ctx is over.
func (j *jury) run(ctx context.Context, ready func()) error {
	defer j.others.listen(ctx, j.read)()
	var wg sync.WaitGroup
	defer wg.Wait()
	ready()
	tick := time.NewTicker(rolloutEvery)
	defer tick.Stop()
	told := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-j.kick:
		}
		own, rec, held := j.standing()
		if rec.Plan.Version == "" || !rec.Under() && j.now().Sub(told) < rolloutIdle {
			continue
		}
		told = j.now()
		j.tell(ctx, own)
		if rec.Under() {
			j.judge(ctx, &wg, own, rec, held)
		}
	}
}

// standing returns what this edge has to tell, and how the rollout stands here.
func (j *jury) standing() (own rollout.Report, rec rollout.Record, held time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.told(), j.record, j.now().Sub(j.since)
}

// judge does what is to be done now.
func (j *jury) judge(ctx context.Context, wg *sync.WaitGroup, own rollout.Report, rec rollout.Record, held time.Duration) {
	d := rollout.Decide(rollout.View{Record: rec, Held: held, Edges: j.alive(), Reports: append(j.reports(), own)})
	j.words.Lock()
	j.waits = d.Why
	j.words.Unlock()
	if d.Do == rollout.Wait {
		return
	}
	if d.Do == rollout.RollBack && j.condemn(rec.Plan.Version, d.Why) {
		j.tell(ctx, j.report()) // the others do so when they hear it
	}
	if j.writing.Swap(true) {
		return
	}
	wg.Go(func() {
		defer j.writing.Store(false)
		j.write(ctx, rec, d)
	})
}

// reports returns what the other edges said lately.
func (j *jury) reports() (out []rollout.Report) {
	j.words.Lock()
	defer j.words.Unlock()
	for node, h := range j.heard {
		if j.now().Sub(h.at) > rolloutHeard {
			delete(j.heard, node)
			continue
		}
		out = append(out, h.Report)
	}
	slices.SortFunc(out, func(a, b rollout.Report) int { // so that equal edges give equal reasons
		if a.Node < b.Node {
			return -1
		}
		return 1
	})
	return out
}

// condemn ends a version here, whatever the store says, and reports whether that
// is news.
func (r *rollouts) condemn(version, why string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record.Plan.Version != version || r.verdicts[version] != "" {
		return false
	}
	r.verdicts[version] = why
	r.log.Warn("the staged rules are rolled back", "version", version, "why", why)
	r.apply()
	return true
}

// write puts a decision into the store, unless somebody has. One that is not
// written is made again.
func (j *jury) write(ctx context.Context, rec rollout.Record, d rollout.Decision) {
	ctx, cancel := context.WithTimeout(ctx, rolloutLimit)
	defer cancel()
	_, err := changeRollout(ctx, j.store, func(now rollout.Record) (rollout.Record, error) {
		same := now.Plan.Version == rec.Plan.Version && now.Under()
		if !same || d.Do != rollout.RollBack && (now.Turn != rec.Turn || now.Phase != rec.Phase) {
			return now, nil
		}
		return now.After(d, j.self, j.now().UTC()), nil
	})
	if err != nil && ctx.Err() == nil {
		j.log.Warn("a decision on a rollout is not in the store yet", "version", rec.Plan.Version, "do", string(d.Do), "why", d.Why, "error", err)
	}
}

// tell sends a report to every other edge. Who does not hear it counts for itself.
func (j *jury) tell(ctx context.Context, own rollout.Report) { j.others.tell(ctx, mustJSON(own)) }

func (j *jury) read(from string, r io.Reader) error {
	report, err := readReport(r)
	if err == nil {
		report.Node = from
		j.hear(report)
	}
	return err
}

// readReport reads what an edge tells, and refuses what none would.
func readReport(r io.Reader) (out rollout.Report, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err == nil && len(b) > maxReport {
		err = errors.New("it is too long")
	}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err == nil && !out.Plausible() {
		err = errors.New("its counts make no sense")
	}
	if err != nil {
		return rollout.Report{}, fmt.Errorf("report of a rollout: %w", err)
	}
	return out, nil
}

// hear takes what another edge tells. That it rolls back is judged at once.
func (j *jury) hear(r rollout.Report) {
	j.words.Lock()
	defer j.words.Unlock()
	j.heard[r.Node] = heardReport{r, j.now()}
	if r.Verdict != "" {
		select {
		case j.kick <- struct{}{}:
		default:
		}
	}
}

// waitsFor returns what the newest decision waits for.
func (j *jury) waitsFor() string {
	j.words.Lock()
	defer j.words.Unlock()
	return j.waits
}
