package config

import (
	"fmt"
	"net/netip"
	"time"
)

// A ProxyProtocol names the load balancers in front of the edges.
type ProxyProtocol struct {
	From    []netip.Prefix `key:"from" doc:"Networks of the load balancers. Their connections must begin with the PROXY protocol, version 1 or 2; those of others must not." want:"a network such as 10.0.0.0/24"`
	Timeout time.Duration  `key:"timeout" default:"5s" doc:"How long that may take to come." want:"a duration up to 1m such as 5s"`
	pos     position
}

func (d *decoder) checkProxyProtocol(f *File) {
	p := f.ProxyProtocol
	if p == nil {
		return
	}
	if len(p.From) == 0 && !d.broken(p.pos.key+".from") {
		d.missing(p.pos, "from", "the networks of the load balancers, such as [10.0.0.0/24]")
	}
	for i, n := range p.From {
		if n.Bits() == 0 {
			d.fail(d.at(p.pos, fmt.Sprintf("from[%d]", i)), fmt.Sprintf("%s is everybody", n), "the networks of the load balancers alone: who is believed can say any address")
		}
	}
	if t := p.Timeout; t <= 0 || t > time.Minute {
		d.fail(d.at(p.pos, "timeout"), fmt.Sprintf("timeout is %v", t), "a duration up to 1m such as 5s")
	}
}
