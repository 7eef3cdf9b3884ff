package foreign

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"meridian"
	"meridian/internal/relay"
)

// loginTimeout bounds a login, and the sending of a cancel request.
const loginTimeout = 10 * time.Second

// A Server is a PostgreSQL that somebody else runs.
type Server struct{ cfg *pgconn.Config }

// New reads a DSN: a URL, or keywords and values, as libpq has them.
func New(dsn string) (*Server, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil { // which may show the password
		return nil, meridian.WithKind(meridian.Invalid, errors.New("the DSN cannot be read; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full"))
	}
	return &Server{cfg}, nil
}

// Address names the server without its password.
func (s *Server) Address() string { return fmt.Sprintf("%s:%d", s.cfg.Host, s.cfg.Port) }

// Dial returns a connection whose first message is a client's: a startup
// message, whose role is not looked at, or a cancel request. It fails no later
// than the login does, which the caller reads on the connection.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	go func() { // ends with the connection
		defer far.Close()
		far.SetDeadline(time.Now().Add(loginTimeout))
		if err := s.serve(context.WithoutCancel(ctx), far); err != nil {
			refuse(far, err)
		}
	}()
	return near, nil
}

// The codes of a first message that is no startup of protocol 3.
const (
	cancelCode = 80877102
	maxFirst   = 64 << 10
)

func (s *Server) serve(ctx context.Context, c net.Conn) error {
	first, err := readFirst(c)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(first) == cancelCode {
		return s.cancel(ctx, first)
	}
	var m pgproto3.StartupMessage
	if err := m.Decode(first); err != nil {
		return fmt.Errorf("startup message: %w", err)
	}
	h, err := s.login(ctx, m.Parameters)
	if err != nil {
		return err
	}
	defer h.Conn.Close()
	if _, err := c.Write(welcome(h)); err != nil {
		return nil // nobody is there any more
	}
	c.SetDeadline(time.Time{})
	h.Conn.SetDeadline(time.Time{})
	relay.Join(ctx, c, h.Conn)
	return nil
}

func readFirst(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 8 || n > maxFirst {
		return nil, fmt.Errorf("a first message of %d bytes", n)
	}
	body := make([]byte, n-4)
	_, err := io.ReadFull(r, body)
	return body, err
}

// login logs in as the DSN says, with the settings and the database that the
// startup message asked for.
func (s *Server) login(ctx context.Context, params map[string]string) (*pgconn.HijackedConn, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	cfg := s.cfg.Copy()
	for name, value := range params {
		switch name {
		case "user", "replication":
		case "database":
			cfg.Database = value
		default:
			cfg.RuntimeParams[name] = value
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

// welcome is what a server says after a login.
func welcome(h *pgconn.HijackedConn) []byte {
	out, _ := (&pgproto3.AuthenticationOk{}).Encode(nil)
	for name, value := range h.ParameterStatuses {
		out, _ = (&pgproto3.ParameterStatus{Name: name, Value: value}).Encode(out)
	}
	out, _ = (&pgproto3.BackendKeyData{ProcessID: h.PID, SecretKey: h.SecretKey}).Encode(out)
	out, _ = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(out)
	return out
}

// refuse says why a login failed, in PostgreSQL's own words where it said some.
func refuse(w io.Writer, err error) {
	e := &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "08001", Message: "the PostgreSQL of this region cannot be reached"}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		e.Code, e.Message = pg.Code, pg.Message
	}
	if out, err := e.Encode(nil); err == nil {
		w.Write(out)
	}
}

// cancel cancels what a backend runs, by a login of its own: the key of a cancel
// request would travel unencrypted in most of libpq's history, and backends are
// all of one role, which may cancel its own.
func (s *Server) cancel(ctx context.Context, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	if len(request) < 12 {
		return errors.New("a cancel request without a key")
	}
	conn, err := pgconn.ConnectConfig(ctx, s.cfg.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pid := fmt.Append(nil, binary.BigEndian.Uint32(request[4:]))
	return conn.ExecParams(ctx, "SELECT pg_cancel_backend($1::int)", [][]byte{pid}, nil, nil, nil).Read().Err
}
