package store

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDecideDeaf runs the script in testdata/deaf. go test -rewrite writes the
// decisions made.
func TestDecideDeaf(t *testing.T) {
	datadriven.RunTest(t, "testdata/deaf", func(t *testing.T, d *datadriven.TestData) string {
		var h hearing
		switch d.Cmd {
		case "listen":
			for _, tick := range d.CmdArgs[0].Vals {
				ms, _ := strconv.Atoi(tick) // "heard" is a tick that found something
				h.quiet = quieter(h.quiet, time.Duration(ms)*time.Millisecond, tick == "heard")
			}
			return fmt.Sprintf("quiet for %v\n", h.quiet)
		case "places": // LEADER/TERM of member 1, in a row
			h.quiet = time.Second
			var led campaign
			for _, at := range d.CmdArgs[0].Vals {
				p := place{self: 1, votes: []uint64{1, 2, 3}}
				fmt.Sscanf(at, "%d/%d", &p.leader, &p.term)
				h, led = h.now(led, p)
			}
			return fmt.Sprintf("leads: %v, deposed: %v, quiet for %v\n", h.leads, h.deposed, h.quiet)
		}
		quiet := 0
		h.leads, h.deposed, h.asked = d.HasArg("leads"), d.HasArg("deposed"), d.HasArg("asked")
		d.ScanArgs(t, "votes", &h.votes)
		d.ScanArgs(t, "quiet", &quiet)
		h.quiet = time.Duration(quiet) * time.Millisecond
		deaf, why := decideDeaf(h)
		return fmt.Sprintf("deaf: %v: %s\n", deaf, why)
	})
}

// TestDecideCampaign runs the script in testdata/campaign.
func TestDecideCampaign(t *testing.T) {
	datadriven.RunTest(t, "testdata/campaign", func(t *testing.T, d *datadriven.TestData) string {
		c := candidacy{place: place{self: 2}}
		d.ScanArgs(t, "from", &c.asked.From)
		d.ScanArgs(t, "asks", &c.asked.Term)
		d.ScanArgs(t, "leader", &c.leader)
		d.ScanArgs(t, "term", &c.term)
		d.ScanArgs(t, "votes", &c.votes)
		turn, ok, why := decideCampaign(c)
		if !ok {
			return fmt.Sprintf("no: %s\n", why)
		}
		return fmt.Sprintf("turn %d: %s\n", turn, why)
	})
}

// TestTurnsDiffer looks at five members in six terms.
func TestTurnsDiffer(t *testing.T) {
	votes := []uint64{11, 12, 13, 14, 15}
	for term := range uint64(6) {
		taken := map[int]uint64{}
		for _, self := range votes[1:] {
			turn, ok, why := decideCampaign(candidacy{campaign{votes[0], term}, place{self: self, leader: votes[0], term: term, votes: votes}})
			if other := taken[turn]; !ok || other != 0 || turn > 3 {
				t.Errorf("term %d: member %d has turn %d, as member %d (%s)", term, self, turn, other, why)
			}
			taken[turn] = self
		}
	}
}
