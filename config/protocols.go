package config

import (
	"fmt"
	"time"
)

// checkProtocols finds what is wrong with the way clients may speak, and with
// how many may at once.
func (d *decoder) checkProtocols(f *File) {
	if f.HTTP3 != "on" && f.HTTP3 != "off" {
		d.fail(position{key: "http3"}, fmt.Sprintf("found %q", f.HTTP3), "on or off")
	}
	l := f.Limits
	if _, said := d.where["limits.connections"]; said && (l.Connections < 1 || l.Connections > maxConnections) {
		d.fail(position{key: "limits.connections"}, fmt.Sprintf("connections is %d", l.Connections), "a number from 1 to 1000000")
	}
	if _, said := d.where["limits.connectionsPerClient"]; said && (l.ConnectionsPerClient < 1 || l.ConnectionsPerClient > maxConnections) {
		d.fail(position{key: "limits.connectionsPerClient"}, fmt.Sprintf("connectionsPerClient is %d", l.ConnectionsPerClient), "a number from 1 to 1000000")
	}
	if l.MinimumRate > 1<<20 {
		d.fail(position{key: "limits.minimumRate"}, fmt.Sprintf("minimumRate is %v", l.MinimumRate), "0, or a size up to 1MiB such as 500B")
	}
	if l.MinimumRateGrace < time.Second || l.MinimumRateGrace > time.Hour {
		d.fail(position{key: "limits.minimumRateGrace"}, fmt.Sprintf("minimumRateGrace is %v", l.MinimumRateGrace), "a duration from 1s to 1h such as 20s")
	}
	if _, said := d.where["limits.drain"]; said && (l.Drain < time.Second || l.Drain > time.Hour) {
		d.fail(position{key: "limits.drain"}, fmt.Sprintf("drain is %v", l.Drain), "a duration from 1s to 1h such as 30s")
	}
}

// maxConnections of one edge: more of them do not fit into one process's table
// of files.
const maxConnections = 1_000_000
