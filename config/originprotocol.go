package config

import "strings"

// ProtocolH2C is HTTP/2 over plain TCP, with prior knowledge.
const ProtocolH2C = "h2c"

func (d *decoder) checkOriginProtocol(o Origin) {
	p := d.at(o.pos, "protocol")
	switch {
	case o.Protocol == "auto":
	case o.Protocol != ProtocolH2C:
		d.fail(p, "protocol is "+short(o.Protocol), "auto or h2c")
	case strings.HasPrefix(o.URL, "https:"):
		d.fail(p, "h2c, and a URL of https", "a URL of http with it: over TLS an origin says itself that it takes HTTP/2")
	}
}
