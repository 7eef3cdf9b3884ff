package server

import (
	"meridian/gateway"
	claims "meridian/gateway/ledger"
	"meridian/internal/lifecycle"
	"meridian/postgres"
)

// addLedger adds this region's way to what was executed by a key; nil where keys
// are the functions' own affair.
func (n *node) addLedger(g *lifecycle.Group, proxy *postgres.Proxy) gateway.Ledger {
	if !n.file.Deduplicates() {
		return nil
	}
	l := claims.New(
		claims.Config{Keep: n.file.Database.Idempotency.Keep, Answer: int(n.file.Database.Idempotency.Answer)},
		claims.Deps{Database: proxy, Log: n.log, Primary: func() bool {
			p, ok := n.atlas.Now().Primary()
			return ok && p.Name == n.self.Region
		}})
	g.Add("idempotency keys", l.Run)
	return l
}
