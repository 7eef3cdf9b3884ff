package store

import (
	"syscall"
	"testing"
	"time"

	"meridian"
)

// TestMembersAcrossContinents runs the shape of production: a process and a
// working folder for each member, forwarders, 220 ms round trips.
func TestMembersAcrossContinents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	began := time.Now()
	names := []string{"a", "b", "c"}
	var all []*child
	for _, name := range names {
		all = append(all, spawn(t, dir, name))
	}
	for _, c := range all {
		c.says("ready")
	}
	t.Logf("three members from nothing: %v", time.Since(began))

	began = time.Now()
	all[0].ask("put k 1 14s")
	all[0].says("")
	t.Logf("a write: %v", time.Since(began))

	// The leader is the worst to lose: a write at once is lost with it.
	lost := leader(t, all)
	led, b, c := all[lost], all[(lost+1)%3], all[(lost+2)%3]
	b.ask("await k 1")
	b.says("1")
	led.Signal(syscall.SIGKILL)
	<-led.Done()
	began = time.Now()
	// An election may be split, and on a busy machine more than once.
	for range 3 {
		b.ask("put k 2 14s")
		if b.line() == "" {
			break
		}
	}
	t.Logf("a write after the leader was killed: %v", time.Since(began))
	c.ask("await k 2")
	c.says("2")

	a := spawn(t, dir, names[lost])
	a.says("ready")
	a.ask("await k 2")
	a.says("2")

	b.Signal(syscall.SIGKILL)
	c.Signal(syscall.SIGKILL)
	<-b.Done()
	<-c.Done()
	a.ask("put k 3 1s")
	a.says(string(meridian.Unavailable))
	a.ask("await k 2")
	a.says("2")
}

// TestMemberThatIsCutFromTheLeaderAloneSeesAndWrites is a broken link between
// two of three regions: a majority is there, and nobody may be left out of it.
func TestMemberThatIsCutFromTheLeaderAloneSeesAndWrites(t *testing.T) {
	t.Parallel()
	cut, other := cutFromLeader(t, trio(t))
	for i, value := range []string{"2", "3", "4"} {
		began := time.Now()
		cut.ask("put k " + value + " 10s")
		cut.says("")
		t.Logf("write %d: %v", i, time.Since(began))
	}
	other.ask("put k 5 10s")
	other.says("")
	cut.ask("await k 5")
	cut.says("5")
}

// TestMemberWithoutRelaysIsLeftOut is the control: with its own etcd alone it
// writes nothing.
func TestMemberWithoutRelaysIsLeftOut(t *testing.T) {
	t.Parallel()
	cut, _ := cutFromLeader(t, trio(t, "STORE_TEST_ALONE=1"))
	cut.ask("put k 2 6s")
	cut.says(string(meridian.Unavailable))
}

// TestMemberGetsTheLeadThatItAsksFor asks from each member in turn.
func TestMemberGetsTheLeadThatItAsksFor(t *testing.T) {
	t.Parallel()
	all := trio(t)
	for i, c := range all {
		began := time.Now()
		c.ask("lead")
		c.says("")
		t.Logf("the lead came after %v", time.Since(began))
		if got := leader(t, all); got != i {
			t.Errorf("member %d asked, %d leads", i, got)
		}
		c.ask("put k " + string(rune('2'+i)) + " 14s")
		c.says("")
	}
}

// TestLeaderThatHearsNobodyIsReplacedWhileItSends is a link that is lost in one
// direction: the leader's heartbeats arrive, and keep the others from electing
// another until it knows better.
func TestLeaderThatHearsNobodyIsReplacedWhileItSends(t *testing.T) {
	t.Parallel()
	all := trio(t, "STORE_TEST_ELECTION=12s") // which is how long it leads at the least, if nobody is asked
	deaf, other, leads := deafen(t, all)
	if !leads {
		t.Error("the leader gave up before another was elected")
	}
	other.ask("put k 2 14s")
	other.says("")
	deaf.ask("put k 3 1s")
	deaf.says(string(meridian.Unavailable))
	deaf.ask("hear")
	deaf.says("hear")
	deaf.ask("await k 2")
	deaf.says("2")
}

// TestLeaderThatCannotAskIsReplacedOnceItIsSilent is the control: without relays
// nobody is asked.
func TestLeaderThatCannotAskIsReplacedOnceItIsSilent(t *testing.T) {
	t.Parallel()
	if _, _, leads := deafen(t, trio(t, "STORE_TEST_ALONE=1")); leads {
		t.Error("another was elected while the leader led, though nobody was asked")
	}
}

// deafen has the leader hear nobody, waits until another is elected, and reports
// whether the one that is deaf thinks then that it still leads.
func deafen(t *testing.T, all []*child) (deaf, other *child, leads bool) {
	led := leader(t, all)
	deaf, other = all[led], all[(led+1)%3]
	other.ask("await k 1")
	other.says("1")
	other.ask("another")
	other.says("waits")
	deaf.ask("deaf")
	deaf.says("deaf")
	began := time.Now()
	t.Logf("the leader is deaf; %s is elected after %v", other.line(), time.Since(began))
	deaf.ask("leads")
	return deaf, other, deaf.line() == "true"
}
