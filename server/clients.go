package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/trust"
)

// revokedPrefix is the key of the store, before a serial number in hexadecimal,
// that holds a client.RevokedClient.
const revokedPrefix = "revoked-clients/"

// clients returns what the file says of clients' certificates.
func clients(f *config.File) (edge.Clients, error) {
	c := f.TLS.Clients
	if c == nil {
		return edge.Clients{}, nil
	}
	out := edge.Clients{Mode: c.Mode, Advertise: c.Advertise}
	if c.CA == "" {
		return out, nil
	}
	text, err := os.ReadFile(c.CA)
	if err == nil {
		out.Trust, err = trust.New(trust.Config{CA: text, IgnoreExpiry: c.IgnoreExpiry})
	}
	if err != nil {
		return out, f.At("tls.clients.ca", fmt.Errorf("%s: %w", c.CA, err))
	}
	if c.CRL != "" {
		if text, err = os.ReadFile(c.CRL); err == nil {
			_, err = out.Trust.RevokeLists(text, time.Now())
		}
		if err != nil {
			return out, f.At("tls.clients.crl", fmt.Errorf("%s: %w", c.CRL, err))
		}
	}
	return out, nil
}

// revocations keeps a trust store's revocations.
type revocations struct {
	trust *trust.Store
	crl   string // file; may be ""
	store certLedger
	log   *slog.Logger
	now   func() time.Time

	text string // of the file, when it was read last
	said string
}

// crlAgain is how often the file with revocation lists is looked at.
const crlAgain = 5 * time.Second

// run keeps them, until ctx is over.
func (r *revocations) run(ctx context.Context, ready func()) error {
	tick := time.NewTicker(crlAgain)
	defer tick.Stop()
	r.lists()
	for {
		watch := r.store.Watch()
		r.serials()
		if ready != nil {
			ready()
			ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-tick.C:
			r.lists()
		}
	}
}

func (r *revocations) serials() {
	var numbers []string
	for _, e := range r.store.View().Prefix(revokedPrefix) {
		numbers = append(numbers, strings.TrimPrefix(e.Key, revokedPrefix))
	}
	r.trust.RevokeSerials(numbers)
}

// lists reads the file again, if it is another.
func (r *revocations) lists() {
	if r.crl == "" {
		return
	}
	text, err := os.ReadFile(r.crl)
	if err == nil && string(text) == r.text && r.said == "" {
		return
	}
	var late []string
	if err == nil {
		r.text = string(text)
		late, err = r.trust.RevokeLists(text, r.now())
	}
	why := strings.Join(late, "; ")
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != r.said {
		r.log.Error("revocation lists of clients' certificates; what was revoked stays so", "file", r.crl, "why", why)
	}
	r.said = why
}

// Revoke refuses a client's certificate at every edge.
func (a certAdmin) Revoke(ctx context.Context, in client.RevokedClient) (client.RevokedClient, error) {
	serial, err := client.ParseSerial(in.Serial)
	if err != nil {
		return in, err
	}
	if c := a.file.TLS.Clients; c == nil || c.CA == "" {
		return in, meridian.WithKind(meridian.Invalid, fmt.Errorf("the file has no trust store; expected tls: {clients: {ca: FILE}}"))
	}
	in.Serial, in.At = serial, a.now().UTC()
	key := revokedPrefix + in.Serial
	if e, ok := a.store.View().Get(key); ok { // once is enough
		json.Unmarshal(e.Value, &in)
		return in, nil
	}
	_, err = a.store.CompareAndSwap(ctx, key, 0, mustJSON(in))
	return in, err
}

// Revoked lists the clients' certificates that operators revoked.
func (a certAdmin) Revoked() []client.RevokedClient {
	out := []client.RevokedClient{}
	for _, e := range a.store.View().Prefix(revokedPrefix) {
		var r client.RevokedClient
		if json.Unmarshal(e.Value, &r) == nil {
			out = append(out, r)
		}
	}
	return out
}
