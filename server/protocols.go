package server

import (
	"syscall"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/pace"
)

// bounds returns what clients of an edge may do.
func bounds(f *config.File) edge.Limits {
	slow := pace.Rule{Rate: int64(f.Limits.MinimumRate), Grace: f.Limits.MinimumRateGrace}
	if slow.Rate == 0 {
		slow.Rate = -1 // none
	}
	return edge.Limits{
		Header: int(f.Limits.Header), Body: int64(f.Limits.Body),
		Connections: connections(f.Limits.Connections, files()), ConnectionsPerClient: f.Limits.ConnectionsPerClient, Pace: slow,
	}
}

// manyConnections of clients are open at once where the file says nothing and
// the system allows it.
const manyConnections = 200_000

// connections returns how many of clients may be open: what the file says, or
// else as many as leave a tenth of the node's files to all else.
func connections(said int, files uint64) int {
	if said > 0 {
		return said
	}
	return int(min(manyConnections, files-files/10))
}

// files returns how many files this process may have open.
func files() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return manyConnections
	}
	return uint64(l.Cur)
}

// alpn names what edges speak, the best first.
func alpn(f *config.File) []string {
	if f.HTTP3 == "off" {
		return []string{"h2"}
	}
	return []string{"h3", "h2"}
}
