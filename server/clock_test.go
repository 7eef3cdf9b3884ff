package server

import (
	"testing"
	"time"

	"meridian"
	"meridian/internal/boottime"
	"meridian/postgres/failover"
)

// TestARenewalThatIsKnownLateIsNoYounger shows dub a renewal of iad's with dub's
// mark of a minute ago, as one that was sent to a leader which then was lost.
// Controls: without the mark, and with that of another start of the node, it
// counts from now. A later renewal with an older mark takes nothing back.
func TestARenewalThatIsKnownLateIsNoYounger(t *testing.T) {
	ago := func(d time.Duration, boot string) map[meridian.Region]failover.Mark {
		return map[meridian.Region]failover.Mark{"dub": {Boot: boot, At: boottime.Now() - d}, "sin": {Boot: "s", At: 1}}
	}
	for name, c := range map[string]struct {
		seen map[meridian.Region]failover.Mark
		want time.Duration
	}{
		"its mark":                  {ago(time.Minute, "this start"), time.Minute},
		"control: none":             {nil, 0},
		"control: of another start": {ago(time.Minute, "another start"), 0},
		"of the future":             {ago(-time.Hour, "this start"), 0},
	} {
		tn, _ := newTestTenure(t)
		tn.write(t, failover.Record{Region: "iad", Term: 1, Seen: c.seen})
		if _, _, age := tn.now(); age < c.want || age > c.want+20*time.Second {
			t.Errorf("%s: the renewal is %v old, want %v", name, age, c.want)
		}
		tn.write(t, failover.Record{Region: "iad", Term: 1, Count: 1, Seen: ago(time.Hour, "this start")})
		if _, _, age := tn.now(); age > c.want+40*time.Second {
			t.Errorf("%s: an older mark made it %v old", name, age)
		}
	}
}

// TestAStandbyThatStoodStillDoesNotCountThat stops dub for an hour: what iad
// said meanwhile waits to be read, and its silence is no older than a nap. The
// control is awake all the time.
func TestAStandbyThatStoodStillDoesNotCountThat(t *testing.T) {
	for name, c := range map[string]struct {
		reads int
		want  failover.Action
	}{"stood still": {1, failover.Wait}, "control: awake": {int(time.Hour / boottime.Nap), failover.Recruit}} {
		tn, _ := newTestTenure(t)
		now := boottime.Now()
		tn.awake.Clock = func() time.Duration { return now }
		tn.write(t, failover.Record{Region: "iad", Term: 1})
		for range c.reads {
			now += time.Hour / time.Duration(c.reads)
			tn.awake.Now()
		}
		_, _, age := tn.now()
		d := failover.Decide(failover.View{Self: "dub", Regions: []meridian.Region{"dub", "iad", "sin"}, State: failover.Standby, Follows: 1, Record: tn.record, Age: age})
		if d.Do != c.want {
			t.Errorf("%s: a renewal is %v old, and dub decides: %s, want %s", name, age, d.Do, c.want)
		}
	}
}

// TestARightCountsFromTheOldestMarkInIt renews with another region's mark: the
// right counts from when it was asked for. Control: without one, from the send.
func TestARightCountsFromTheOldestMarkInIt(t *testing.T) {
	for name, ago := range map[string]time.Duration{"a mark": time.Second, "control: no mark": 0} {
		tn, _ := newTestTenure(t)
		before := boottime.Now()
		if ago > 0 {
			tn.heard = func() map[meridian.Region]failover.Sighting {
				return map[meridian.Region]failover.Sighting{"iad": {Mark: failover.Mark{Boot: "b", At: 5}, Asked: before - ago}}
			}
		}
		tn.write(t, failover.Record{Region: "dub", Term: 1, Seen: map[meridian.Region]failover.Mark{"old": {}}})
		tn.renew(t.Context())
		until, _ := tn.lease()
		if from := until - failover.Lease; ago > 0 && from != before-ago || from < before-ago || from > boottime.Now() {
			t.Errorf("%s: a right from %v, %v before its send", name, from, before-from)
		}
		r, _, _ := tn.now()
		if _, marked := r.Seen["iad"]; marked != (ago > 0) || len(r.Seen) > 1 {
			t.Errorf("%s: the renewal shows %v", name, r.Seen)
		}
		tn.write(t, failover.Record{Region: "sin", Term: 2, Seen: r.Seen})
		if ok, err := tn.replace(t.Context(), failover.Record{Region: "iad", Term: 3, Seen: r.Seen}, tn.rev); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if r, _, _ := tn.now(); r.Seen != nil {
			t.Errorf("%s: handed to another with %v", name, r.Seen)
		}
	}
}

func TestAClockIsReadAsItWasTold(t *testing.T) {
	m := failover.Mark{Boot: "ABC", At: 123456789}
	if got, ok := readClock(clockText(m)); !ok || got != m {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", "ABC", "ABC x", "ABC -5", " 7"} {
		if got, ok := readClock(bad); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}
