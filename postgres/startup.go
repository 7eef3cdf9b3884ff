package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/pool"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// beforeLogin is the longest message of somebody who has not logged in.
const beforeLogin = 16 << 10

// serveClient greets one connection and serves it to its end.
func (p *Proxy) serveClient(ctx context.Context, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(p.cfg.LoginTimeout))
	conn, rd, err := p.direct(conn)
	if err != nil {
		p.metrics.login("malformed")
		return
	}
	rd.Limit = beforeLogin
	conn, start, err := p.greet(conn, rd)
	if err != nil || start == nil {
		p.metrics.login("malformed")
		return
	}
	if start.Code == wire.CodeCancel {
		p.cancel(ctx, start.Cancel)
		return
	}
	c, err := p.login(ctx, conn, rd, start)
	if err != nil {
		e := pgError(err)
		e.Severity = "FATAL"
		conn.Write(wire.Builder(nil).Error(e))
		p.metrics.login("refused")
		return
	}
	p.metrics.login("ok")
	conn.SetDeadline(time.Time{})
	rd.Limit = 0
	rd.Reset(conn) // without what gave back the first byte
	defer p.forget(c)
	c.loops().Do(conn, func() { c.run(ctx) })
}

// A begunConn gives back the byte that was read of it.
type begunConn struct {
	net.Conn
	rest io.Reader
}

// NetConn returns what is below, as that of crypto/tls does.
func (c *begunConn) NetConn() net.Conn { return c.Conn }

func (c *begunConn) Read(b []byte) (int, error) { return c.rest.Read(b) }

// direct looks whether the client begins with TLS and asks for nothing
// (PostgreSQL documentation, 55.2.11: direct SSL; it must name the protocol by
// ALPN, so that no other protocol's client can be led here).
func (p *Proxy) direct(conn net.Conn) (net.Conn, *wire.Reader, error) {
	const handshake = 0x16 // RFC 8446, section 5.1
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return conn, nil, err
	}
	rest := io.MultiReader(bytes.NewReader(first), conn)
	if first[0] != handshake || p.deps.TLS == nil {
		return conn, wire.NewReader(rest), nil
	}
	secure, err := p.secure(&begunConn{conn, rest})
	if err != nil {
		return conn, nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol != alpn {
		return conn, nil, fmt.Errorf("TLS without ALPN %s: %w", alpn, wire.ErrProtocol)
	}
	return secure, wire.NewReader(secure), nil
}

// alpn is PostgreSQL's name among TLS's protocols.
const alpn = "postgresql"

// greet answers requests for encryption and returns the packet that follows
// them: a start-up message or a cancel request.
func (p *Proxy) greet(conn net.Conn, rd *wire.Reader) (net.Conn, *wire.Startup, error) {
	_, encrypted := conn.(*secureConn)
	for {
		s, err := wire.ReadStartup(rd)
		if err != nil {
			return conn, nil, err
		}
		rd.Reset(conn) // the byte that was read first is past
		switch {
		case s.Code == wire.CodeGSS, s.Code == wire.CodeSSL && (p.deps.TLS == nil || encrypted):
			if _, err := conn.Write([]byte{'N'}); err != nil {
				return conn, nil, err
			}
		case s.Code == wire.CodeSSL:
			// What was sent in the clear behind the request would be taken for
			// part of the encrypted session (CVE-2021-23214).
			if rd.Buffered() > 0 {
				return conn, nil, fmt.Errorf("data after an SSLRequest: %w", wire.ErrProtocol)
			}
			if _, err := conn.Write([]byte{'S'}); err != nil {
				return conn, nil, err
			}
			secure, err := p.secure(conn)
			if err != nil {
				return conn, nil, err
			}
			conn, encrypted = secure, true
			rd.Reset(conn)
		default:
			return conn, s, nil
		}
	}
}

// login authenticates a client and opens its session.
func (p *Proxy) login(ctx context.Context, conn net.Conn, rd *wire.Reader, start *wire.Startup) (*client, error) {
	name, database := start.Param("user"), start.Param("database")
	if database == "" {
		database = name
	}
	p.mu.Lock()
	u := p.users[name]
	p.mu.Unlock()
	replicates := noReplication(start)
	if replicates != nil && replicates.Code != stateNotSupported {
		return nil, replicates
	}
	write := func(b []byte) error { _, err := conn.Write(b); return err }
	if unknown := start.Unknown(); start.Minor() > 0 || len(unknown) > 0 {
		if err := write(wire.Builder(nil).Negotiate(unknown)); err != nil {
			return nil, err
		}
	}
	verifier := wire.Verifier{}
	if u != nil {
		verifier = u.verifier
	} else if v, err := wire.NewVerifier(secret(16)); err == nil {
		verifier = v // a stranger's name fails as a wrong password does
	}
	if err := wire.Authenticate(rd, write, verifier, bindingOf(conn)); err != nil || u == nil {
		return nil, &wire.Error{Severity: "FATAL", Code: statePassword, Message: fmt.Sprintf("password authentication failed for user %q", name)}
	}
	switch {
	case replicates != nil: // of no database, as libpq says "replication"
		return nil, replicates
	case database != p.cfg.Database:
		return nil, &wire.Error{Severity: "FATAL", Code: stateNoDatabase, Message: fmt.Sprintf("database %q does not exist", database)}
	}
	return p.open(ctx, conn, rd, u, start.Forwarded())
}

// open makes a session with its first backend and says that it is ready.
func (p *Proxy) open(ctx context.Context, conn net.Conn, rd *wire.Reader, u *user, params []wire.Param) (*client, error) {
	base, own, params, err := promisedAtStart(p.cfg.Consistency, params)
	if err != nil {
		return nil, err
	}
	c := &client{p: p, base: base, own: own, conn: conn, rd: rd, env: u.env, role: u.role, params: params, log: p.deps.Log.With("role", u.role)}
	p.heedParams(params)
	c.spared = p.number()
	c.state = session.NewState(p.judge)
	c.state.Definitions = &p.catalogue.defs
	for _, param := range params {
		c.state.LazyAtStart = c.state.LazyAtStart || param.Name == classify.Transactions && param.Value == classify.Lazy ||
			param.Name == "options" && fromOptions(param.Value, classify.Transactions) == classify.Lazy
		if param.Name == "standard_conforming_strings" || param.Name == "options" && unsafeOptions(param.Value) ||
			param.Name == "client_encoding" && classify.UnsafeEncoding(param.Value) {
			c.state.Pinned = pinnedByStart
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.LoginTimeout)
	defer cancel()
	status, err := c.first(ctx)
	if err != nil {
		if unreachable(err) {
			c.away(err.Error())
		}
		c.closeBackends()
		return nil, err
	}
	p.register(c)
	out := wire.Builder(nil).AuthenticationOk()
	pool.Greeting(status, func(m wire.Frame) {
		name, value, err := wire.ParseParameter(m.Body())
		switch {
		case m.Type() == 'N':
			out = append(out, m...)
		case err == nil && name != paramProcess && name != paramTimeline:
			out = out.Parameter(name, honest(name, value))
		}
	})
	out = out.KeyData(c.key.PID, []byte(c.key.Secret)).Ready('I')
	if _, err := conn.Write(out); err != nil {
		p.forget(c)
		return nil, err
	}
	return c, nil
}

// honest returns the value of a parameter as the client should see it: the
// proxy takes writes, whatever backend it shows first.
func honest(name, value string) string {
	if name == "in_hot_standby" {
		return "off"
	}
	return value
}

func unsafeOptions(options string) bool {
	options = strings.ToLower(options)
	return strings.Contains(options, "standard_conforming_strings") ||
		strings.Contains(options, "client_encoding") && classify.UnsafeEncoding(options)
}

// register gives a session the key that cancels it.
func (p *Proxy) register(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var key [4]byte
	rand.Read(key[:]) // never fails
	c.key = wire.Key{PID: c.told(), Secret: string(key[:])}
	p.sessions[c.key] = c
}

// number returns one that no process has (Linux, proc(5): pid_max is at most
// 2^22), and no other session.
func (p *Proxy) number() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextPID = p.nextPID%(1<<30-1) + 1
	return numbered + p.nextPID
}

// told returns the process id that the client is told: in the primary's region
// that of its server process. Elsewhere it may have two of these, or others
// later, and gets a number that no process has.
func (c *client) told() uint32 {
	switch {
	case c.key.PID != 0:
		return c.key.PID
	case c.main != nil && c.main.backend != nil && !c.p.cfg.TransactionPooling:
		return c.main.backend.Key.PID
	}
	return c.spared
}

func (p *Proxy) forget(c *client) {
	p.mu.Lock()
	delete(p.sessions, c.key)
	p.mu.Unlock()
	c.closeBackends()
}

// openFirst gets the first backend on whichever replica has one.
func (c *client) openFirst(ctx context.Context) error {
	for {
		c.stepTo(ctx, &freshView{})
		err := c.openNear(ctx, c.at)
		if err == nil || !c.elsewhere(err) {
			return err
		}
	}
}

// first opens the backend whose parameters the client is shown: the standby,
// or where there is none the primary.
func (c *client) first(ctx context.Context) (status []byte, err error) {
	_, here := c.p.primary()
	if !here || c.p.lapsed() {
		if err = c.openFirst(ctx); err == nil {
			return c.near.backend.Params, nil
		}
		if meridian.KindOf(err) == meridian.Throttled || c.p.away() != "" && c.p.hopeless() {
			return nil, err
		}
	}
	for h := c.p.hold(); ; {
		if err = c.tryMain(ctx); err == nil {
			c.mu.Unlock()
			if status, err = c.main.welcome(ctx); err == nil {
				return status, nil
			}
		}
		if err = c.queue(ctx, h, err); err != nil {
			return nil, err
		}
	}
}
