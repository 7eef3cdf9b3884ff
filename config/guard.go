package config

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A Guard says who may come in at all.
type Guard struct {
	Allow      []netip.Prefix `key:"allow" doc:"Networks that may come in; others may not. Default: all." want:"a network such as 192.0.2.0/24"`
	Deny       []netip.Prefix `key:"deny" doc:"Networks that may not come in, even if allow names them." want:"a network such as 192.0.2.0/24"`
	RateLimits []string       `key:"rateLimits" doc:"Names under rateLimits, of every request." want:"a name under rateLimits"`
	Bots       bool           `key:"bots" default:"false" doc:"Refuse what only scanners send: another Host than the domain and the names below it, and the paths of other people's software."`
}

// A RateLimit says how often a client may ask, in the whole world.
type RateLimit struct {
	Requests int           `key:"requests" doc:"In the time per." want:"a number from 1 to 1000000"`
	Per      time.Duration `key:"per" default:"1s" doc:"A time, at the end of which a client that asked for as many may ask for as many again." want:"a duration from 1ms to 24h"`
	Burst    int           `key:"burst" doc:"At once. Default: requests." want:"a number from 1 to 1000000"`
	By       string        `key:"by" default:"address" doc:"What makes requests one client's: its address (of IPv6, the network of 64 bits), its verified identity, or a header. Without an identity or the header, the address." want:"address, identity, or header NAME"`
	pos      position
}

// HeaderOf returns the header that tells a limit's clients apart, or "".
func (r RateLimit) HeaderOf() string {
	name, _ := strings.CutPrefix(r.By, "header ")
	if name == r.By {
		return ""
	}
	return http.CanonicalHeaderKey(strings.TrimSpace(name))
}

// maxKeyGroup bounds the keys of a group; CloudFront's quota is 5.
const maxKeyGroup = 20

// keyID is what the ID of a trusted key is made of: it stands in URLs.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// checkKeyGroups checks whose signed URLs are trusted.
func (d *decoder) checkKeyGroups(f *File) {
	for _, id := range sorted(f.TrustedKeys) {
		p := d.where["trustedKeys."+id]
		if !keyID.MatchString(id) {
			d.fail(d.names["trustedKeys."+id], "found "+short(id), "an ID of letters, digits, hyphens and underscores")
		}
		d.exists(p, f.TrustedKeys[id], "a PEM file with a public key", false)
	}
	for _, name := range sorted(f.KeyGroups) {
		d.checkKeyGroup(f, name)
	}
}

func (d *decoder) checkKeyGroup(f *File, name string) {
	path, ids := "keyGroups."+name, f.KeyGroups[name]
	switch {
	case !policyName.MatchString(name):
		d.fail(d.names[path], "found "+short(name), "a name of letters, digits, hyphens and underscores, a letter first")
	case len(ids) == 0:
		d.fail(d.where[path], "a group without keys", "names under trustedKeys:")
	case len(ids) > maxKeyGroup:
		d.fail(d.where[path], fmt.Sprintf("%d keys", len(ids)), fmt.Sprintf("at most %d", maxKeyGroup))
	}
	for i, id := range ids {
		p := d.where[fmt.Sprintf("%s[%d]", path, i)]
		if _, ok := f.TrustedKeys[id]; !ok {
			d.fail(p, fmt.Sprintf("no trusted key is named %q", id), "a name under trustedKeys:")
		} else if slices.Index(ids, id) < i {
			d.fail(p, fmt.Sprintf("%q stands twice", id), "each key once")
		}
	}
}

// checkGuardOf checks who may come in by a behaviour.
func (d *decoder) checkGuardOf(f *File, b Behavior) {
	d.checkNetworks(b.pos, b.Allow, b.Deny)
	d.checkViewer(f, b)
	if b.WAF != nil {
		d.checkWAF(*b.WAF)
	}
	d.checkLimitNames(f, b.pos, b.RateLimits)
	if _, ok := f.KeyGroups[b.Signed]; b.Signed != "" && !ok {
		d.fail(d.at(b.pos, "signed"), fmt.Sprintf("no key group is named %q", b.Signed), "a name under keyGroups:")
	}
}

// maxLimits bounds the limits that one request is compared with.
const maxLimits = 8

func (d *decoder) checkGuard(f *File) {
	for _, name := range sorted(f.RateLimits) {
		d.checkRateLimit(name, f.RateLimits[name])
	}
	d.exists(d.where["geo"], f.Geo, "an .mmdb file", false)
	if f.AccessLog != nil {
		d.checkAccessLog(*f.AccessLog)
	}
	p := d.where["guard"]
	d.checkNetworks(p, f.Guard.Allow, f.Guard.Deny)
	d.checkLimitNames(f, p, f.Guard.RateLimits)
}

// checkNetworks refuses networks with an address in them that is one of many:
// who wrote it may have meant another.
func (d *decoder) checkNetworks(p position, allow, deny []netip.Prefix) {
	for key, list := range map[string][]netip.Prefix{"allow": allow, "deny": deny} {
		for i, n := range list {
			at := d.at(p, fmt.Sprintf("%s[%d]", key, i))
			if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 { // which no client's address is in
				d.fail(at, fmt.Sprintf("%s is a network of IPv4 as IPv6 maps it", n), netip.PrefixFrom(a.Unmap(), n.Bits()-96).Masked().String())
			} else if n != n.Masked() {
				d.fail(at, fmt.Sprintf("%s is an address in a network", n), n.Masked().String())
			}
		}
		if _, given := d.where[strings.Trim(p.key+"."+key, ".")]; given && len(list) == 0 {
			d.fail(d.at(p, key), "no networks", "a network such as 192.0.2.0/24")
		}
	}
}

func (d *decoder) checkLimitNames(f *File, p position, names []string) {
	if len(names) > maxLimits {
		d.fail(d.at(p, "rateLimits"), fmt.Sprintf("%d limits", len(names)), fmt.Sprintf("at most %d", maxLimits))
		return
	}
	for i, name := range names {
		at := d.at(p, fmt.Sprintf("rateLimits[%d]", i))
		if _, ok := f.RateLimits[name]; !ok {
			d.fail(at, fmt.Sprintf("no rate limit is named %q", name), "a name under rateLimits:")
		} else if slices.Index(names, name) < i {
			d.fail(at, fmt.Sprintf("%q stands twice", name), "each limit once")
		}
	}
}

func (d *decoder) checkRateLimit(name string, r RateLimit) {
	const most = 1_000_000
	if !policyName.MatchString(name) {
		d.fail(d.names[r.pos.key], "found "+short(name), "a name of letters, digits, hyphens and underscores, a letter first")
	}
	_, asked := d.where[r.pos.key+".requests"]
	switch _, given := d.where[r.pos.key+".burst"]; {
	case !asked:
		d.missing(r.pos, "requests", "a number from 1 to 1000000")
	case r.Requests < 1 || r.Requests > most:
		d.fail(d.at(r.pos, "requests"), fmt.Sprintf("requests is %d", r.Requests), "a number from 1 to 1000000")
	case given && (r.Burst < 1 || r.Burst > most):
		d.fail(d.at(r.pos, "burst"), fmt.Sprintf("burst is %d", r.Burst), "a number from 1 to 1000000")
	case r.Per < time.Millisecond || r.Per > 24*time.Hour:
		d.fail(d.at(r.pos, "per"), fmt.Sprintf("per is %v", r.Per), "a duration from 1ms to 24h")
	case time.Duration(max(r.Burst, r.Requests))*(r.Per/time.Duration(r.Requests)) > 24*time.Hour:
		d.fail(d.at(r.pos, "burst"), fmt.Sprintf("burst is %d", r.Burst), "what comes back within 24h")
	}
	switch h := r.HeaderOf(); {
	case h == "" && r.By != "address" && r.By != "identity", h != "" && (!httpguts.ValidHeaderFieldName(h) || neverSent(h)):
		d.fail(d.at(r.pos, "by"), "by is "+short(r.By), "address, identity, or header NAME")
	}
}
