package ledger_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/gateway/ledger"
	"meridian/postgres"
	"meridian/postgres/pgtest"
	"meridian/topology"
)

// The regions: a primary, and one with a standby of it.
var servers struct{ primary, standby *pgtest.Server }

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	template, err := pgtest.Found("shop")
	if err == nil {
		defer template.Remove()
		if servers.primary, err = template.Primary(); err == nil {
			defer servers.primary.Stop()
			if servers.standby, err = template.Standby("standby", servers.primary); err == nil {
				defer servers.standby.Stop()
				return m.Run()
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// regions starts the proxies of both regions and returns their ledgers, the
// primary's first.
func regions(t *testing.T, c ledger.Config) (here, there *ledger.Ledger) {
	t.Helper()
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{
		Regions: []topology.Region{{Name: "us-east-1", Primary: true, Healthy: true}, {Name: "eu-west-1", Healthy: true}},
		Links:   []topology.Link{{From: "us-east-1", To: "eu-west-1", RTT: 10 * time.Millisecond}},
	})
	peers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way := func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", peers.Addr().String())
	}
	one := func(region meridian.Region, d postgres.Deps, primary bool) *ledger.Ledger {
		d.Map = m
		p, err := postgres.New(postgres.Config{Region: region, Database: "shop", Listen: "127.0.0.1:0", NoFailover: true}, d)
		if err != nil {
			t.Fatal(err)
		}
		run(t, p.Run)
		l := ledger.New(c, ledger.Deps{Database: p, Primary: func() bool { return primary }})
		run(t, l.Run)
		return l
	}
	here = one("us-east-1", postgres.Deps{Local: servers.primary.Dial, Peers: peers}, true)
	return here, one("eu-west-1", postgres.Deps{Local: servers.standby.Dial, Remote: way}, false)
}

// run runs a part until the test ends.
func run(t *testing.T, part func(context.Context, func()) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- part(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
}

func wish(key string) ledger.Claim {
	return ledger.Claim{Scope: ledger.ScopeOf("caller", "POST", "/", key), Print: ledger.PrintOf("body"), ID: rand.Text(), Region: "us-east-1", Request: "r-" + key, Within: time.Minute}
}

func claim(t *testing.T, l *ledger.Ledger, c ledger.Claim) ledger.Entry {
	t.Helper()
	e, err := l.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// However many ask for one key in two regions at once, and be it the very first
// key of the database, one gets it.
func TestOneOfManyGetsTheClaim(t *testing.T) {
	here, there := regions(t, ledger.Config{})
	for round := range 10 {
		var got sync.WaitGroup
		entries := make([]ledger.Entry, 12)
		errs := make([]error, len(entries))
		for i := range entries {
			got.Go(func() {
				l := []*ledger.Ledger{here, there}[i%2]
				entries[i], errs[i] = l.Claim(t.Context(), wish(fmt.Sprint("many-", round)))
			})
		}
		got.Wait()
		mine := 0
		for i, e := range entries {
			if errs[i] != nil {
				t.Errorf("claim %d: %v", i, errs[i])
			}
			if e.Mine {
				mine++
				if e.Token.IsZero() || e.Token.Timeline != 1 {
					t.Errorf("the claim's token is %s", e.Token)
				}
			}
		}
		if mine != 1 {
			t.Errorf("round %d: %d of %d got the claim", round, mine, len(entries))
		}
	}
}

// The ledger is made by whoever first needs it, and by as many as do at once.
func TestManyMakeTheLedgerAtOnce(t *testing.T) {
	here, there := regions(t, ledger.Config{})
	for round := range 20 {
		if err := servers.primary.Exec("shop", "DROP SCHEMA IF EXISTS meridian CASCADE"); err != nil {
			t.Fatal(err)
		}
		var made sync.WaitGroup
		for i := range 12 {
			made.Go(func() {
				l := []*ledger.Ledger{here, there}[i%2]
				if _, err := l.Claim(t.Context(), wish(fmt.Sprint("made-", round, "-", i))); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		made.Wait()
	}
}

// What one region settled the other finds at once, and the claim that has it may
// ask again.
func TestASettledClaimIsFoundInTheOtherRegion(t *testing.T) {
	here, there := regions(t, ledger.Config{Answer: 512})
	for i, pair := range [][2]*ledger.Ledger{{here, there}, {there, here}} {
		c := wish(fmt.Sprint("settled-", i))
		if e := claim(t, pair[0], c); !e.Mine {
			t.Fatalf("%+v", e)
		}
		if e := claim(t, pair[0], c); !e.Mine {
			t.Errorf("who has the claim asks again, and gets %+v", e)
		}
		if e := claim(t, pair[1], wish(fmt.Sprint("settled-", i))); e.Mine || e.Done || e.Over || e.Request != c.Request || e.Print != c.Print {
			t.Errorf("under way: %+v", e)
		}
		a := ledger.Answer{Status: 201, Header: http.Header{"X": {"1"}}, Body: []byte("made"), Token: meridian.Token{Database: "shop", System: 7, Timeline: 1, LSN: 5}}
		if held, err := pair[0].Settle(t.Context(), c, a); !held || err != nil {
			t.Fatalf("settle: %v, %v", held, err)
		}
		e := claim(t, pair[1], wish(fmt.Sprint("settled-", i)))
		if e.Mine || !e.Done || e.Answer == nil || e.Answer.Status != 201 || string(e.Answer.Body) != "made" || e.Answer.Token != a.Token {
			t.Errorf("settled: %+v, %+v", e, e.Answer)
		}
	}
	c := wish("large")
	claim(t, here, c)
	if held, err := here.Settle(t.Context(), c, ledger.Answer{Status: 200, Body: make([]byte, 600)}); !held || err != nil {
		t.Fatalf("settle what is too large: %v, %v", held, err)
	}
	if e := claim(t, there, wish("large")); !e.Done || e.Answer != nil {
		t.Errorf("too large: %+v", e)
	}
}

// A claim that is given back is another's; one whose time has passed is nobody's.
func TestWhatBecomesOfAClaim(t *testing.T) {
	here, there := regions(t, ledger.Config{})
	c := wish("released")
	claim(t, here, c)
	if err := here.Release(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if e := claim(t, there, wish("released")); !e.Mine {
		t.Errorf("after it was given back: %+v", e)
	}
	c = wish("over")
	c.Within = -time.Second
	claim(t, here, c)
	if e := claim(t, there, wish("over")); e.Mine || !e.Over {
		t.Errorf("after its time: %+v", e)
	}
}

// A claim under which nothing was written may be taken, by one; one under which
// something may have been may not. Whichever is first, of taking and of being about
// to write, keeps the other from it. What an older node claimed, which does not say
// what it writes, is taken by nobody.
func TestAClaimIsTakenOnlyBeforeItWrites(t *testing.T) {
	here, there := regions(t, ledger.Config{})
	take := func(l *ledger.Ledger, c ledger.Claim, from string) bool {
		t.Helper()
		if err := l.Take(t.Context(), c, from); err != nil {
			t.Fatal(err)
		}
		return claim(t, l, c).Mine
	}
	first, second := wish("taken"), wish("taken")
	claim(t, here, first)
	if e := claim(t, there, second); e.Mine || !e.Clean || e.ID != first.ID {
		t.Fatalf("before anything was written: %+v", e)
	}
	if !take(there, second, first.ID) {
		t.Error("a claim under which nothing was written was not given")
	}
	if _, err := here.Touch(t.Context(), first); meridian.KindOf(err) != meridian.Forbidden {
		t.Errorf("whose claim was taken may write: %v", err)
	}
	if held, err := here.Settle(t.Context(), first, ledger.Answer{Status: 200}); held || err != nil {
		t.Errorf("whose claim was taken settled it: %v, %v", held, err)
	}
	if take(here, wish("taken"), first.ID) {
		t.Error("a claim was taken twice from who had it first")
	}

	first = wish("touched")
	e := claim(t, there, first)
	touched, err := there.Touch(t.Context(), first)
	if err != nil || touched.LSN <= e.Token.LSN {
		t.Fatalf("about to write: %v, %v; the claim is at %v", touched, err, e.Token)
	}
	if _, err := there.Touch(t.Context(), first); err != nil {
		t.Errorf("about to write again: %v", err)
	}
	if e := claim(t, here, wish("touched")); e.Clean {
		t.Errorf("after it may have written: %+v", e)
	}
	if take(here, wish("touched"), first.ID) {
		t.Error("a claim under which something may have been written was taken")
	}
	other := wish("touched")
	other.Print = ledger.PrintOf("another body")
	if take(here, other, first.ID) {
		t.Error("a claim was taken for another request")
	}
}

// Many that take a claim race with its holder, who is about to write: either one
// takes it and the holder hears so, or the holder writes and nobody takes it.
func TestTakingAndWritingExcludeEachOther(t *testing.T) {
	here, there := regions(t, ledger.Config{})
	outcomes := map[bool]int{}
	for round := range 30 {
		key := fmt.Sprint("race-", round)
		holder := wish(key)
		claim(t, here, holder)
		var all sync.WaitGroup
		var refused error
		mine := make([]bool, 4)
		all.Go(func() { _, refused = here.Touch(t.Context(), holder) })
		for i := range mine {
			all.Go(func() {
				l, c := []*ledger.Ledger{here, there}[i%2], wish(key)
				if err := l.Take(t.Context(), c, holder.ID); err != nil {
					t.Error(err)
				}
				e, err := l.Claim(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				mine[i] = e.Mine
			})
		}
		all.Wait()
		taken := 0
		for _, m := range mine {
			if m {
				taken++
			}
		}
		if taken > 1 || (taken == 1) != (refused != nil) {
			t.Errorf("round %d: %d took it, the holder heard %v", round, taken, refused)
		}
		outcomes[taken == 1]++
	}
	t.Logf("taken %d times, written %d times", outcomes[true], outcomes[false])
}

// A key that has expired is a new one; the old claim settles nothing any more. The
// sweep removes what nobody asked for again.
func TestAKeyExpires(t *testing.T) {
	brief, _ := regions(t, ledger.Config{Keep: time.Microsecond})
	old, next := wish("brief"), wish("brief")
	claim(t, brief, old)
	if e := claim(t, brief, next); !e.Mine {
		t.Errorf("after it expired: %+v", e)
	}
	if held, err := brief.Settle(t.Context(), old, ledger.Answer{Status: 200}); held || err != nil {
		t.Errorf("the old claim settled: %v, %v", held, err)
	}
	brief.Sweep(t.Context())
	if held, err := brief.Settle(t.Context(), next, ledger.Answer{Status: 200}); held || err != nil {
		t.Errorf("what expired is still there after the sweep: %v, %v", held, err)
	}
}
