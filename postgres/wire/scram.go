package wire

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"github.com/xdg-go/scram"
)

// The mechanisms (RFC 7677). The second binds a login to its TLS connection.
const (
	scramName = "SCRAM-SHA-256"
	scramPlus = scramName + "-PLUS"
)

// iterations is PostgreSQL's scram_iterations.
const iterations = 4096

// A Verifier is what is kept of a password: enough to check it, not enough to
// use it (RFC 5802, section 3).
type Verifier struct{ stored scram.StoredCredentials }

// NewVerifier derives a Verifier from a password with a fresh salt.
func NewVerifier(password string) (Verifier, error) {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return Verifier{}, fmt.Errorf("derive a verifier: %w", err)
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return Verifier{}, fmt.Errorf("derive a verifier: %w", err)
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return Verifier{}, fmt.Errorf("derive a verifier: %w", err)
	}
	return Verifier{c}, nil
}

// A Binding ties a login to the TLS connection by which it comes, so that
// nobody between can pass it on (RFC 5929, tls-server-end-point). The zero value
// ties it to nothing.
type Binding struct{ channel scram.ChannelBinding }

// BindTo returns the Binding to a connection on which the server showed leaf. It
// is zero for a certificate for which none is defined, such as Ed25519's.
func BindTo(leaf *x509.Certificate) Binding {
	b, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
	if err != nil {
		return Binding{}
	}
	return Binding{b}
}

// offer lists the mechanisms, the preferred one first.
func (b Binding) offer() []byte {
	if !b.channel.IsSupported() {
		return append(String(scramName), 0)
	}
	return append(append(String(scramPlus), String(scramName)...), 0)
}

// converse begins the conversation of a client that chose mechanism. One that
// could bind its login and believes that the server cannot is refused: somebody
// between kept the offer from it.
func (b Binding) converse(s *scram.Server, mechanism string, first []byte) (*scram.ServerConversation, error) {
	binds := bytes.HasPrefix(first, []byte("p="))
	switch {
	case mechanism == scramPlus && b.channel.IsSupported() && binds:
		return s.NewConversationWithChannelBindingRequired(b.channel), nil
	case mechanism == scramName && b.channel.IsSupported() && !binds:
		return s.NewConversationWithChannelBinding(b.channel), nil
	case mechanism == scramName && !binds:
		return s.NewConversation(), nil
	}
	return nil, malformed("SASLInitialResponse")
}

// Authenticate runs SCRAM-SHA-256 (RFC 5802, RFC 7677) as the server, with
// channel binding if the client wants it and b is one. It does not send
// AuthenticationOk.
func Authenticate(r *Reader, write func([]byte) error, v Verifier, b Binding) error {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return v.stored, nil })
	if err != nil {
		return fmt.Errorf("start SCRAM: %w", err)
	}
	if err := write(authentication(10, b.offer())); err != nil {
		return err
	}
	first, err := password(r)
	if err != nil {
		return err
	}
	name, rest, ok := cstring(first)
	if !ok || len(rest) < 4 {
		return malformed("SASLInitialResponse")
	}
	conv, err := b.converse(server, string(name), rest[4:])
	if err != nil {
		return err
	}
	challenge, err := conv.Step(string(rest[4:]))
	if err != nil {
		return fmt.Errorf("SCRAM: %w", err)
	}
	if err := write(authentication(11, []byte(challenge))); err != nil {
		return err
	}
	second, err := password(r)
	if err != nil {
		return err
	}
	final, err := conv.Step(string(bytes.Clone(second)))
	if err != nil || !conv.Valid() {
		return fmt.Errorf("SCRAM: %w", err)
	}
	return write(authentication(12, []byte(final)))
}

// AuthenticationOk appends the message that ends authentication.
func (b Builder) AuthenticationOk() Builder { return append(b, authentication(0)...) }

func authentication(code uint32, parts ...[]byte) []byte {
	all := append([][]byte{binary.BigEndian.AppendUint32(nil, code)}, parts...)
	return Builder(nil).Message('R', all...)
}

func password(r *Reader) ([]byte, error) {
	f, err := r.Frame()
	if err != nil {
		return nil, err
	}
	if f.Type() != 'p' {
		return nil, malformed("password message")
	}
	return f.Body(), nil
}
