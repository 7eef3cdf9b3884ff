package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/internal/boottime"
	"meridian/postgres/failover"
	"meridian/store"
)

// A deaf store takes writes and does not say so, where it is told to.
type deafStore struct {
	store.Store
	deaf bool
}

func (d *deafStore) CompareAndSwap(ctx context.Context, key string, rev int64, value []byte) (bool, error) {
	ok, err := d.Store.CompareAndSwap(ctx, key, rev, value)
	if d.deaf {
		return false, errors.New("no answer")
	}
	return ok, err
}

// newTestTenure is that of dub, over a store of one member.
func newTestTenure(t *testing.T) (*tenure, *deafStore) {
	t.Helper()
	t.Chdir(t.TempDir())
	m, err := store.NewMember(store.MemberConfig{
		Dir: t.TempDir(), Name: "one", Peers: map[string]string{"one": ""}, Heartbeat: 10 * time.Millisecond, Election: 200 * time.Millisecond,
	}, store.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx, func() { close(ready) }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	<-ready
	d := &deafStore{Store: m}
	return &tenure{self: "dub", boot: "this start", key: "switch/primary/x", store: d, renewNow: make(chan struct{}, 1),
		heard: func() map[meridian.Region]failover.Sighting { return nil }, fit: func() bool { return true }, log: slog.New(slog.DiscardHandler)}, d
}

func (tn *tenure) write(t *testing.T, r failover.Record) {
	t.Helper()
	if err := tn.store.Put(t.Context(), tn.key, mustJSON(r)); err != nil {
		t.Fatal(err)
	}
	tn.see(tn.store.Now())
}

// TestAMarkIsARightToWhoMadeIt hands the record to dub with a mark: dub may act
// for a lease after it, with no renewal. Controls: the same without a mark, and
// with one of another start of the node, whose clock may be another.
func TestAMarkIsARightToWhoMadeIt(t *testing.T) {
	tn, _ := newTestTenure(t)
	marked := boottime.Now() - time.Second
	for i, c := range []struct {
		mark failover.Mark
		want time.Duration
	}{
		{failover.Mark{Boot: "this start", At: marked}, marked + failover.Lease},
		{failover.Mark{}, 0},
		{failover.Mark{Boot: "another start", At: marked}, 0},
	} {
		tn.write(t, failover.Record{Region: "dub", Term: uint64(i + 1), Mark: c.mark})
		if got, term := tn.lease(); got != c.want || term != uint64(i+1) {
			t.Errorf("mark %+v: a right until %v in term %d, want %v", c.mark, got, term, c.want)
		}
	}
	tn.write(t, failover.Record{Region: "iad", Term: 9, Mark: failover.Mark{Boot: "this start", At: marked}})
	if got, _ := tn.lease(); got != 0 {
		t.Errorf("iad holds the record, and dub has a right until %v", got)
	}
}

// TestARightCountsFromTheSendOfItsRenewal compares it with the clock before
// and after.
func TestARightCountsFromTheSendOfItsRenewal(t *testing.T) {
	tn, _ := newTestTenure(t)
	tn.write(t, failover.Record{Region: "dub", Term: 1})
	if tn.held() {
		t.Fatal("a right that was never renewed")
	}
	before := boottime.Now()
	tn.renew(t.Context())
	_, _, age := tn.now()
	received := boottime.Now() - age
	if until, _ := tn.lease(); until < before+failover.Lease || until >= received+failover.Lease {
		t.Errorf("sent after %v, received at %v: a right until %v", before, received, until)
	}
}

// TestRenewalsKeepTheirPace counts them: news of one's own renewal is no reason
// for the next.
func TestRenewalsKeepTheirPace(t *testing.T) {
	tn, _ := newTestTenure(t)
	tn.write(t, failover.Record{Region: "dub", Term: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 4*failover.Renew)
	defer cancel()
	var seeing sync.WaitGroup
	seeing.Go(func() { // as the steward does
		for ctx.Err() == nil {
			watch := tn.store.Watch()
			tn.see(tn.store.Now())
			select {
			case <-watch:
			case <-ctx.Done():
			}
		}
	})
	tn.run(ctx)
	seeing.Wait()
	if r, _, _ := tn.now(); r.Count < 3 || r.Count > 6 {
		t.Errorf("%d renewals in four times %v", r.Count, failover.Renew)
	}
}

// TestWhoDoubtsHasNoRight until the record is renewed over what was seen before
// the doubt.
func TestWhoDoubtsHasNoRight(t *testing.T) {
	tn, d := newTestTenure(t)
	tn.write(t, failover.Record{Region: "dub", Term: 1})
	tn.renew(t.Context())
	if !tn.held() {
		t.Fatal("no right after a renewal") // the control: without the doubt there is one
	}
	tn.doubt()
	if tn.held() {
		t.Error("a right in doubt")
	}
	d.deaf = true
	if tn.renew(t.Context()); tn.held() {
		t.Error("a right by a renewal that was not answered")
	}
	d.deaf = false
	if tn.renew(t.Context()); !tn.held() {
		t.Error("no right after a renewal that was")
	}
}

// TestNoRenewalComesBetweenHaltAndResume counts the record's revisions.
func TestNoRenewalComesBetweenHaltAndResume(t *testing.T) {
	tn, _ := newTestTenure(t)
	tn.write(t, failover.Record{Region: "dub", Term: 1})
	tn.halt(t.Context())
	if !tn.held() {
		t.Error("halt did not renew once more")
	}
	_, before, _ := tn.now()
	tn.renew(t.Context())
	if _, rev, _ := tn.now(); rev != before {
		t.Errorf("revision %d after a halt at %d", rev, before)
	}
	tn.resume()
	tn.renew(t.Context())
	if _, rev, _ := tn.now(); rev == before {
		t.Error("no renewal after resume")
	}
}
