package store

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// PeerURL returns the peer URL of a member. etcd takes the host and port of a
// unix URL for the name of a socket in the process's working folder; that is
// how each node gives the same URL a meaning of its own: the member's own
// socket in its folder, a forwarder in all others.
func PeerURL(member string) string {
	return "unix://" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(member)) + ":1"
}

// socket returns the name of a peer URL's socket, relative to the working folder.
func socket(peerURL string) (string, error) {
	u, err := url.Parse(peerURL)
	if err != nil {
		return "", err
	}
	if u.Scheme != "unix" || u.Host == "" || u.Port() == "" || u.Path != "" {
		return "", fmt.Errorf("peer URL %q: want unix://NAME:NUMBER", peerURL)
	}
	return u.Host, nil
}

// embedded returns etcd's own configuration.
func (c MemberConfig) embedded(log *zap.Logger) (*embed.Config, error) {
	own, err := url.Parse(c.Peers[c.Name])
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Name = c.Name
	cfg.Dir = filepath.Join(c.Dir, "etcd")
	cfg.ListenPeerUrls = []url.URL{*own}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil // only this process asks
	cfg.InitialCluster = c.initialCluster()
	cfg.InitialClusterToken = c.Cluster
	cfg.TickMs = uint(c.Heartbeat.Milliseconds())
	cfg.ElectionMs = uint(c.Election.Milliseconds())
	cfg.QuotaBackendBytes = 128 << 20
	cfg.MaxRequestBytes = 1 << 20
	cfg.SnapshotCount = 5000
	cfg.AutoCompactionMode = "revision"
	cfg.AutoCompactionRetention = "1000"
	cfg.EnableGRPCGateway = false
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg, cfg.Validate()
}

func (c MemberConfig) initialCluster() string {
	var all []string
	for name, peer := range c.Peers {
		all = append(all, name+"="+peer)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
