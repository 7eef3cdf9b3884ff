package config

import (
	"fmt"
	"net/mail"
	"net/url"
	"slices"
)

// A Certificate is a chain and its key, or the way to get them.
type Certificate struct {
	Cert string `key:"cert" doc:"PEM file: the certificate, then its intermediates."`
	Key  string `key:"key" doc:"PEM file: the private key."`
	ACME *ACME  `key:"acme" doc:"In place of files: a certificate authority that is asked by ACME (RFC 8555)."`
	pos  position
}

// ACME is a certificate authority that issues by itself.
type ACME struct {
	Email     string `key:"email" doc:"Where the authority may write to. Default: none."`
	Directory string `key:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"The authority's directory." want:"a URL such as https://acme-v02.api.letsencrypt.org/directory"`
	Challenge string `key:"challenge" default:"dns-01" doc:"How control of the domain is shown: by this world's name servers, on port 80 of any edge, or in a handshake on its port 443." want:"dns-01, http-01 or tls-alpn-01"`
	CA        string `key:"ca" doc:"PEM file: the roots that a private directory's own certificate leads to."`
	pos       position
}

// challenges are how control of a domain can be shown.
var challenges = []string{"dns-01", "http-01", "tls-alpn-01"}

// checkCertificates wants of each either files or an authority, and of those one.
func (d *decoder) checkCertificates(cs []Certificate) {
	var first *ACME
	for _, c := range cs {
		if c.ACME == nil {
			d.needs(c.pos, "cert", c.Cert, "a PEM file with a certificate, or acme")
			d.needs(c.pos, "key", c.Key, "a PEM file with a private key")
			continue
		}
		if c.Cert != "" || c.Key != "" {
			d.fail(d.at(c.pos, "acme"), "acme beside files", "an element of its own: - acme: {}")
		}
		if first != nil {
			d.fail(d.at(c.pos, "acme"), "a second authority", "acme once: all edges show the same certificate")
		}
		first = c.ACME
		d.checkACME(*c.ACME)
	}
}

func (d *decoder) checkACME(a ACME) {
	u, err := url.Parse(a.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		d.fail(d.at(a.pos, "directory"), fmt.Sprintf("directory is %q", a.Directory), "a URL that begins with https://")
	}
	if _, err := mail.ParseAddress(a.Email); err != nil && a.Email != "" {
		d.fail(d.at(a.pos, "email"), fmt.Sprintf("email is %q", a.Email), "an address such as admin@example.test")
	}
	if !slices.Contains(challenges, a.Challenge) {
		d.fail(d.at(a.pos, "challenge"), fmt.Sprintf("challenge is %q", a.Challenge), "dns-01, http-01 or tls-alpn-01")
	}
	d.exists(d.at(a.pos, "ca"), a.CA, "a PEM file with roots", false)
}

// Pairs returns the certificates that are files.
func (f *File) Pairs() (pairs []Certificate) {
	for _, c := range f.Certificates {
		if c.ACME == nil {
			pairs = append(pairs, c)
		}
	}
	return pairs
}

// ACME returns the authority that is asked for certificates, or nil.
func (f *File) ACME() *ACME {
	for _, c := range f.Certificates {
		if c.ACME != nil {
			return c.ACME
		}
	}
	return nil
}
