package postgres

import (
	"syscall"
	"testing"
	"time"

	"meridian"
)

// What is confirmed is shown up to where the first of those that are leaving may
// have its commit.
func TestLookPassesWhatIsLeaving(t *testing.T) {
	type look struct {
		flushed, confirmed meridian.LSN
		ids                []string
		after              time.Duration // since the first
		want               meridian.LSN
	}
	for name, looks := range map[string][]look{
		"nobody leaves":                          {{100, 100, nil, 0, 100}, {200, 150, nil, 0, 150}},
		"the first look knows nothing":           {{100, 100, []string{"7"}, 0, 0}, {100, 100, nil, 0, 100}},
		"it came after the last look":            {{100, 100, nil, 0, 100}, {200, 200, []string{"7"}, 0, 100}, {210, 210, nil, 0, 210}},
		"each has its own":                       {{100, 100, nil, 0, 100}, {200, 200, []string{"7"}, 0, 100}, {300, 300, []string{"7", "8"}, 0, 100}, {300, 300, []string{"8"}, 0, 200}},
		"it is past what is confirmed":           {{200, 100, nil, 0, 100}, {300, 150, []string{"7"}, 0, 150}},
		"it waits for its own":                   {{100, 100, nil, 0, 100}, {200, 150, []string{"7"}, 0, 100}, {200, 150, []string{"7"}, lets, 150}},
		"what was just confirmed may be its own": {{100, 100, nil, 0, 100}, {200, 150, []string{"7"}, 0, 100}, {200, 160, []string{"7"}, lets, 100}},
	} {
		start, u := time.Unix(0, 0), unshown{}
		for i, l := range looks {
			if got := u.look(l.flushed, l.confirmed, l.ids, start.Add(l.after)); got != l.want {
				t.Errorf("%s: look %d shows %d, want %d", name, i+1, got, l.want)
			}
		}
	}
}

// TestTheConfirmedIsNotYetTheShown stops the process that commits: its standby
// confirms, PostgreSQL lets it go, and it does not show its row. Who has seen
// the row waits. Control: without a look at who is leaving it is not there.
func TestTheConfirmedIsNotYetTheShown(t *testing.T) {
	for name, control := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			w := newTrio(t, durable(meridian.Durability{Sync: dub}), patient)
			w.proxies[iad].looksAway = control
			c := w.connect(dsn(w.proxies[iad]))
			w.exec(c, "create table early (v int)")
			w.waitsFor(iad, 1, dub)
			thaw := w.stop(dub)
			written := background(c, "insert into early values (1)")
			pid := w.inSyncWait(1)[0]
			there, here := w.attach(w.proxies[sin], "there"), w.attach(w.proxies[iad], "here")
			end := w.proxies[sin].Begin(t.Context(), "there", meridian.Token{}, meridian.Promise{})
			w.eventually("sin shows it", func() bool { return get[int](w.world, there, "select count(*) from early") == 1 })
			token := end().Token
			defer w.proxies[iad].Begin(t.Context(), "here", token, meridian.Promise{})()
			w.check(syscall.Kill(pid, syscall.SIGSTOP))
			goOn := func() { syscall.Kill(pid, syscall.SIGCONT) }
			defer goOn()
			got := make(chan int, 1)
			go func() {
				n := -1
				if err := here.QueryRow(t.Context(), "select count(*) from early").Scan(&n); err != nil {
					t.Error(err)
				}
				got <- n
			}()
			w.eventually("the read waits", func() bool { return w.proxies[iad].watch.waits() > 0 })
			thaw()
			if control {
				if n := <-got; n != 0 {
					t.Errorf("the primary counts %d: nothing was shown", n)
				}
			} else {
				w.eventually("it is confirmed", func() bool { return reached(w.proxies[iad].watch.known().served, token) })
				goOn()
				if n := <-got; n != 1 {
					t.Errorf("the primary counts %d for who saw the row on a standby", n)
				}
			}
			goOn()
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}
