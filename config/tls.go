package config

import (
	"fmt"
	"slices"
	"strings"
)

// TLS says what clients of the edges must speak.
type TLS struct {
	Policy string `key:"policy" default:"intermediate" doc:"Protocols and cipher suites, by Mozilla's or CloudFront's name." want:"modern, intermediate, TLSv1.2_2018, TLSv1.2_2019, TLSv1.2_2021, TLSv1.2_2025 or TLSv1.3_2025"`
	pos    position
}

// tlsPolicies are those that edges know, and oldPolicies CloudFront's others, which
// allow protocols that nobody may speak any more (RFC 8996).
var (
	tlsPolicies = []string{"modern", "intermediate", "TLSv1.2_2018", "TLSv1.2_2019", "TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025"}
	oldPolicies = []string{"SSLv3", "TLSv1", "TLSv1_2016", "TLSv1.1_2016", "old"}
)

func (d *decoder) checkTLS(t TLS) {
	want := strings.Join(tlsPolicies[:len(tlsPolicies)-1], ", ") + " or " + tlsPolicies[len(tlsPolicies)-1]
	switch p := d.at(t.pos, "policy"); {
	case slices.Contains(oldPolicies, t.Policy):
		d.fail(p, fmt.Sprintf("policy %q allows TLS 1.0 or 1.1, which RFC 8996 forbids", t.Policy), want)
	case !slices.Contains(tlsPolicies, t.Policy):
		d.fail(p, fmt.Sprintf("policy is %q", t.Policy), want)
	}
}
