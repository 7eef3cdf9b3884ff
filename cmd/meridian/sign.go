package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"meridian/server"
)

type signCmd struct {
	URL      string       `arg:"" help:"The URL that somebody may ask for, as they will ask for it." placeholder:"URL"`
	Key      string       `help:"PEM file with the private key: RSA, or ECDSA on P-256." required:"" type:"path" placeholder:"FILE"`
	ID       string       `help:"The key's ID: its name under trustedKeys." required:"" placeholder:"ID"`
	Expires  instant      `help:"When the grant ends: a duration from now (1h), a time (2030-01-02T15:04:05Z), or Unix seconds." required:"" placeholder:"WHEN"`
	From     instant      `help:"When it begins. Default: at once." placeholder:"WHEN"`
	Resource string       `help:"The URLs that it is for: * is anything, ? one character. Default: URL alone." placeholder:"PATTERN"`
	Client   netip.Prefix `help:"The network that may use it. Default: all." placeholder:"NETWORK"`
	Cookies  bool         `help:"Print cookies in place of a URL: one Set-Cookie a line."`
	SHA256   bool         `name:"sha256" help:"Sign a SHA-256 and not a SHA-1, and say so (Hash-Algorithm)."`
}

// Run prints what bears the grant.
func (c *signCmd) Run() error {
	url, cookies, err := server.Sign(server.Grant{
		URL: c.URL, Key: c.Key, KeyID: c.ID, Resource: c.Resource, Until: time.Time(c.Expires), From: time.Time(c.From), Client: c.Client, SHA256: c.SHA256,
	})
	if err != nil {
		return mistake{err}
	}
	if !c.Cookies {
		fmt.Println(url)
		return nil
	}
	for _, k := range cookies {
		fmt.Printf("Set-Cookie: %s=%s; Path=/; Secure; HttpOnly\n", k[0], k[1])
	}
	return nil
}

// An instant is a time on the command line.
type instant time.Time

// UnmarshalText reads a duration from now, a time, or Unix seconds.
func (m *instant) UnmarshalText(text []byte) error {
	s := string(text)
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		*m = instant(time.Now().Add(d))
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		*m = instant(time.Unix(n, 0))
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("found %q; expected a duration such as 1h, a time such as 2030-01-02T15:04:05Z, or Unix seconds", s)
	}
	*m = instant(t)
	return nil
}
