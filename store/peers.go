package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"

	"meridian/internal/relay"
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

// joinPeers makes the sockets through which etcd reaches its peers, and lets
// the peers in.
func (m *Member) joinPeers(ctx context.Context, parts *sync.WaitGroup) error {
	if m.deps.DialPeer == nil {
		return nil
	}
	if err := m.makeSockets(ctx, parts); err != nil {
		return err
	}
	parts.Go(func() { // ends with ctx
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.seats.named:
			}
			if err := m.makeSockets(ctx, parts); err != nil {
				m.log.Error("a peer that was named has no socket", "err", err)
			}
		}
	})
	return nil
}

// SetNames says who else may become a member from now on.
func (m *Member) SetNames(names []string) {
	m.seats.mu.Lock()
	defer m.seats.mu.Unlock()
	for _, name := range names {
		if _, ok := m.seats.sockets[name]; !ok {
			m.seats.sockets[name] = false
		}
	}
	select {
	case m.seats.named <- struct{}{}:
	default:
	}
}

// SetRelays says which ways to the others there are from now on.
func (m *Member) SetRelays(open []func(context.Context) (net.Conn, error)) { m.relays.set(open) }

// makeSockets makes those that are not there yet.
func (m *Member) makeSockets(ctx context.Context, parts *sync.WaitGroup) error {
	failed := func(err error) { m.log.Debug("peer not reached", "err", err) }
	m.seats.mu.Lock()
	defer m.seats.mu.Unlock()
	for name, made := range m.seats.sockets {
		if made {
			continue
		}
		u := PeerURL(name)
		if given, ok := m.cfg.Peers[name]; ok {
			u = given
		}
		file, err := socket(u)
		if err != nil {
			return err
		}
		m.seats.sockets[name] = true
		if name == m.cfg.Name {
			parts.Go(func() {
				relay.Serve(ctx, earsOn{m.deps.PeerListener, &m.heard}, m.atHome(file), failed)
			})
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		l, err := net.Listen("unix", file)
		if err != nil {
			return fmt.Errorf("socket for peer %s: %w", name, err)
		}
		parts.Go(func() {
			relay.Serve(ctx, l, func(ctx context.Context) (net.Conn, error) {
				c, err := m.deps.DialPeer(ctx, name)
				if err != nil {
					return nil, err
				}
				return ear{c, &m.heard}, nil
			}, failed)
		})
	}
	return nil
}

var errNotServing = errors.New("this member's etcd has not started")

// atHome returns how peers reach this member's etcd. Before it answers nobody is
// kept waiting: founders ask each other whether they are founded already, and each
// would wait for a second for each that cannot know.
func (m *Member) atHome(file string) relay.Dial {
	return func(ctx context.Context) (net.Conn, error) {
		if !m.serves.Load() {
			return nil, errNotServing
		}
		var d net.Dialer
		return d.DialContext(ctx, "unix", file)
	}
}
