package cert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// A staple is what a certificate's responder says of it, for handshakes to carry
// (RFC 6066, section 8).
type staple struct {
	text []byte
	from time.Time
	to   time.Time
}

// fresh reports whether a staple may be shown, and next when the following one
// should be asked for: halfway, so that a responder may be away for a while.
func (s staple) fresh(now time.Time) bool { return len(s.text) > 0 && now.Before(s.to) }
func (s staple) next() time.Time          { return s.from.Add(s.to.Sub(s.from) / 2) }

// A certificate's responder is asked again after stapleRetry if it fails, and after
// stapleLife if it does not say how long its answer holds.
const (
	stapleRetry = time.Minute
	stapleLife  = 12 * time.Hour
	stapleMost  = 64 << 10 // bytes of an answer
)

// Staple asks the responders of all certificates that name one, where it is time,
// and lets handshakes carry the answers. It returns when to call it again, and what
// went wrong: a certificate without an answer is shown without.
func (s *Store) Staple(ctx context.Context, c *http.Client) (again time.Time, err error) {
	now := s.cfg.Now()
	again = now.Add(stapleLife)
	var errs []error
	got := map[[sha256.Size]byte]staple{}
	for _, p := range s.pairs() {
		id := sha256.Sum256(p.Certificate[0])
		issuer := issuerOf(p)
		if len(p.Leaf.OCSPServer) == 0 || issuer == nil {
			continue
		}
		s.mu.Lock()
		was := s.staples[id]
		s.mu.Unlock()
		if !was.fresh(now) || !now.Before(was.next()) {
			fresh, err := ask(ctx, c, p.Leaf, issuer, now)
			if err != nil {
				errs = append(errs, fmt.Errorf("OCSP of %s: %w", subject(p.Leaf), err))
				again = earlier(again, now.Add(stapleRetry))
			} else {
				was = fresh
			}
		}
		if was.fresh(now) {
			got[id] = was
			again = earlier(again, was.next())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staples = got
	s.publish()
	return later(again, now.Add(stapleRetry)), errors.Join(errs...)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pairs returns the certificates in use.
func (s *Store) pairs() []tls.Certificate {
	if now := s.set.Load(); now != nil {
		return now.certs
	}
	return nil
}

func issuerOf(p tls.Certificate) *x509.Certificate {
	if len(p.Certificate) < 2 {
		return nil
	}
	issuer, err := x509.ParseCertificate(p.Certificate[1])
	if err != nil {
		return nil
	}
	return issuer
}

// ask asks a certificate's responder (RFC 6960, appendix A.1).
func ask(ctx context.Context, c *http.Client, leaf, issuer *x509.Certificate, now time.Time) (s staple, err error) {
	question, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return s, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return s, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	resp, err := c.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, stapleMost))
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the responder answered %s", resp.Status)
	}
	return judge(text, leaf, issuer, now)
}

// judge reads a responder's answer. Only that a certificate is good is shown: that
// it is revoked is for the operator to hear.
func judge(text []byte, leaf, issuer *x509.Certificate, now time.Time) (s staple, err error) {
	r, err := ocsp.ParseResponseForCert(text, leaf, issuer)
	if err != nil {
		return s, err
	}
	s = staple{text, r.ThisUpdate, r.NextUpdate}
	if s.to.IsZero() {
		s.to = r.ThisUpdate.Add(stapleLife)
	}
	switch {
	case r.Status == ocsp.Revoked:
		return s, fmt.Errorf("it was revoked at %s", r.RevokedAt.Format(time.RFC3339))
	case r.Status != ocsp.Good:
		return s, errors.New("the responder does not know it")
	case now.Before(s.from.Add(-stapleSkew)) || !now.Before(s.to):
		return s, fmt.Errorf("the answer holds from %s to %s; it is %s", s.from.Format(time.RFC3339), s.to.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return s, nil
}

// stapleSkew is how far a responder's clock may be ahead.
const stapleSkew = 5 * time.Minute
