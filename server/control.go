package server

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"meridian/admin"
	"meridian/client"
	"meridian/dns"
	"meridian/edge/cert/acme"
	"meridian/internal/lifecycle"
)

// addControl adds DNS and the operator's side.
func (n *node) addControl(g *lifecycle.Group) error {
	zone, err := dns.New(dns.Config{
		Domain: n.file.Domain, TTL: uint32(n.file.DNS.TTL.Seconds()), ALPN: alpn(n.file),
		Listen: []string{netip.AddrPortFrom(n.self.Address, n.self.Ports.DNS).String()},
	}, dns.Deps{Map: &n.atlas, Texts: func(name string) []string { return acme.Texts(keeper{n.store}, name) }, Sockets: n.handing.sockets, Log: n.log, Metrics: n.tele.Metrics})
	if err != nil {
		return err
	}
	if err := n.addPurges(g); err != nil {
		return err
	}
	stores, err := n.addKVS(g)
	if err != nil {
		return err
	}
	token, err := n.adminToken()
	if err != nil {
		return err
	}
	word, err := password(n.file)
	if err != nil {
		return err
	}
	op := admin.New(admin.Config{Listen: netip.AddrPortFrom(n.self.Address, n.self.Ports.Admin).String(), Token: token}, n.operator(stores, word))
	g.Add("regions", n.keepRegions)
	g.Add("dns", zone.Run)
	g.Add("admin and console", op.Run)
	return nil
}

// operator is what the admin API does and shows. Users of the database show word.
func (n *node) operator(stores *kvs, word string) admin.Deps {
	rollouts := &glance{of: operators{n}}
	return admin.Deps{
		Status:  func() client.Status { return status(n.picture(), n.atlas.Now(), word) },
		Keys:    keys{n.store},
		Drain:   n.drain,
		Move:    n.move,
		Durable: n.setDurability,
		Lost:    n.lost,
		Backup:  n.backUp,
		Backups: n.backups,
		Regions: n.regions,
		Join:    n.join,
		Leave:   n.leave,
		Certs:   n.certAdmin(),
		Purge:   n.purge,
		Reload:  n.reloadAll,
		Stores:  stores,
		Rollout: operators{n},
		Glance:  rollouts.look,
		Spans:   n.spans,
		Metrics: n.metrics(),
		Open:    n.handing.sockets.Listen,
		Log:     n.log.With("hop", "admin"),
	}
}

// adminToken reads what callers of the admin API must show: a secret of the
// up world, or a file that an operator put beside the node's state.
func (n *node) adminToken() (string, error) {
	for _, path := range []string{
		filepath.Join(n.cfg.State, "admin.token"),
		filepath.Join(filepath.Dir(filepath.Dir(n.cfg.State)), "secrets", "admin"),
	} {
		if b, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(b)), nil
		} else if !os.IsNotExist(err) {
			return "", err
		}
	}
	n.log.Info("no admin token: the admin API only shows the console", "wanted", filepath.Join(n.cfg.State, "admin.token"))
	return "", nil
}
