package server

import (
	"context"
	"net/http"
	"time"
)

// ocspPatience bounds how long one responder may take.
const ocspPatience = 10 * time.Second

// staple keeps what the responders of the certificates say, until ctx is over. It
// looks again at once when the certificates changed.
func (s *shelf) staple(ctx context.Context, ready func()) error {
	ready()
	c := &http.Client{Timeout: ocspPatience}
	defer c.CloseIdleConnections()
	said := ""
	for {
		again, err := s.certs.Staple(ctx, c)
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			s.log.Warn("a certificate is shown without its responder's word", "why", said)
		}
		if err == nil {
			said = ""
		}
		wait := time.NewTimer(min(again.Sub(s.now()), shelfAgain))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		case <-s.fresh:
		}
		wait.Stop()
	}
}
