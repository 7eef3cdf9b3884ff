package server

import (
	"slices"
	"strings"
	"testing"

	"meridian"
	"meridian/config"
)

func TestWhoVotesOnTheStore(t *testing.T) {
	for name, c := range map[string]struct {
		regions, phases, now string
		witness, primary     string
		want                 string
	}{
		"one region":                     {"us", "", "us", "", "us", "us"},
		"of two, one":                    {"us eu", "", "us", "", "us", "us"},
		"it stays when the primary goes": {"us eu", "", "us", "", "eu", "us"},
		"with a witness, three":          {"us eu", "", "us eu witness", "wi", "us", "us eu witness"},
		"a third while it joins":         {"us eu ap", "ap joining", "us", "", "us", "us"},
		"and once it counts":             {"us eu ap", "", "us", "", "us", "us eu ap"},
		"it takes the witness's seat":    {"us eu ap", "", "us eu witness", "wi", "us", "us eu ap"},
		"a fourth has none":              {"us eu ap sa", "", "us eu ap", "", "us", "us eu ap"},
		"though it is the primary":       {"us eu ap sa", "", "us eu ap", "", "sa", "us eu ap"},
		"one that leaves hands it on":    {"us eu ap sa", "eu leaving", "us eu ap", "", "us", "us ap sa"},
		"three become two":               {"us eu ap", "ap leaving", "us eu ap", "", "eu", "eu"},
		"and the witness votes again":    {"us eu ap", "ap leaving", "us eu ap", "wi", "eu", "us eu witness"},
		"the only one leaves":            {"us eu", "us leaving", "us", "", "eu", "eu"},
	} {
		r := inhabited(strings.Fields(c.regions))
		if c.witness != "" {
			r.Nodes = append(r.Nodes, config.Node{Name: "witness", Region: meridian.Region(c.witness), Roles: []config.Role{config.RoleWitness}})
		}
		if region, p, ok := strings.Cut(c.phases, " "); ok {
			r = r.become(meridian.Region(region), phase(p))
		}
		got := votesOf(r, meridian.Region(c.witness), meridian.Region(c.primary), strings.Fields(c.now))
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
