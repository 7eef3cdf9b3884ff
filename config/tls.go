package config

import (
	"fmt"
	"slices"
	"strings"
)

// TLS says what clients of the edges must speak.
type TLS struct {
	Policy  string      `key:"policy" default:"intermediate" doc:"Protocols and cipher suites, by Mozilla's or CloudFront's name." want:"modern, intermediate, TLSv1.2_2018, TLSv1.2_2019, TLSv1.2_2021, TLSv1.2_2025 or TLSv1.3_2025"`
	Clients *TLSClients `key:"clients" doc:"Certificates of clients (mutual TLS). Default: none is asked for."`
	pos     position
}

// TLSClients says which certificates clients show.
type TLSClients struct {
	Mode         string `key:"mode" default:"required" doc:"required: no handshake without a good one. optional: none, or a good one. passthrough: whatever is shown goes to the origin, which judges it." want:"required, optional or passthrough"`
	CA           string `key:"ca" doc:"PEM file: the trust store, roots and intermediates that sign clients' certificates."`
	Advertise    bool   `key:"advertise" doc:"Tell clients the names of those authorities."`
	IgnoreExpiry bool   `key:"ignoreExpiry" doc:"Take certificates that have ended, or not begun."`
	CRL          string `key:"crl" doc:"File with revocation lists, PEM or DER, of authorities of the trust store. It is read again when it changes."`
	pos          position
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
	if t.Clients != nil {
		d.checkClients(*t.Clients)
	}
}

func (d *decoder) checkClients(c TLSClients) {
	switch c.Mode {
	case "required", "optional":
		d.needs(c.pos, "ca", c.CA, "a PEM file with the authorities of clients' certificates")
	case "passthrough":
		if c.CA != "" || c.CRL != "" {
			d.fail(d.at(c.pos, "ca", "crl"), "ca or crl with passthrough", "neither: the origin judges; or mode optional")
		}
	default:
		d.fail(d.at(c.pos, "mode"), fmt.Sprintf("mode is %q", c.Mode), "required, optional or passthrough")
	}
	d.exists(d.at(c.pos, "crl"), c.CRL, "a file with revocation lists", false)
}
