package server

import (
	"testing"

	"meridian"
	"meridian/postgres/failover"
)

// TestWhatCommitsWaitForWhileThePromiseChanges: the proxy goes by both rules,
// PostgreSQL by the next one, or by the old one where the next has none.
func TestWhatCommitsWaitForWhileThePromiseChanges(t *testing.T) {
	regions := []meridian.Region{"us-east-1", "eu-west-1", "ap-southeast-1"}
	async, quorum, sync := meridian.Durability{}, meridian.Durability{Quorum: true}, meridian.Durability{Sync: "eu-west-1"}
	for _, c := range []struct {
		p        failover.Promise
		self     meridian.Region
		postgres string
		proxy    []string
	}{
		{failover.Promise{}, "us-east-1", "0 of ", nil},
		{failover.Promise{Now: quorum}, "us-east-1", "1 of eu-west-1, ap-southeast-1", []string{"1 of eu_west_1, ap_southeast_1"}},
		{failover.Promise{Now: quorum}, "eu-west-1", "1 of us-east-1, ap-southeast-1", []string{"1 of us_east_1, ap_southeast_1"}},
		{failover.Promise{Now: sync}, "eu-west-1", "1 of us-east-1, ap-southeast-1", []string{"1 of us_east_1, ap_southeast_1"}},
		{failover.Promise{Now: async}.Ask(quorum), "us-east-1", "1 of eu-west-1, ap-southeast-1", []string{"1 of eu_west_1, ap_southeast_1"}},
		{failover.Promise{Now: quorum}.Ask(sync), "us-east-1", "1 of eu-west-1", []string{"1 of eu_west_1, ap_southeast_1", "1 of eu_west_1"}},
		{failover.Promise{Now: quorum, Of: "us-east-1,eu-west-1"}.Become(failover.Rule{Durability: quorum, Of: "us-east-1,eu-west-1,ap-southeast-1,sa-east-1"}), "us-east-1",
			"2 of eu-west-1, ap-southeast-1, sa-east-1", []string{"1 of eu_west_1", "2 of eu_west_1, ap_southeast_1, sa_east_1"}},
		{failover.Promise{Now: quorum}.Ask(async), "us-east-1", "1 of eu-west-1, ap-southeast-1", []string{"1 of eu_west_1, ap_southeast_1"}},
	} {
		if got := hides(c.p, c.self, regions).String(); got != c.postgres {
			t.Errorf("%s in %s: PostgreSQL waits for %s, want %s", c.p, c.self, got, c.postgres)
		}
		d := demandOf(c.p, c.self, regions)
		if len(d.Quorums) != len(c.proxy) {
			t.Errorf("%s in %s: the proxy goes by %v, want %q", c.p, c.self, d.Quorums, c.proxy)
			continue
		}
		for i, q := range d.Quorums {
			if q.String() != c.proxy[i] {
				t.Errorf("%s in %s: the proxy waits for %s, want %s", c.p, c.self, q, c.proxy[i])
			}
		}
	}
}
