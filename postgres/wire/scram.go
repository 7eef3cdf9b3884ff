package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/xdg-go/scram"
)

const scramName = "SCRAM-SHA-256"

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

// Authenticate runs SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel
// binding as the server. It does not send AuthenticationOk.
func Authenticate(r *Reader, write func([]byte) error, v Verifier) error {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return v.stored, nil })
	if err != nil {
		return fmt.Errorf("start SCRAM: %w", err)
	}
	conv := server.NewConversation()
	if err := write(authentication(10, String(scramName), []byte{0})); err != nil {
		return err
	}
	first, err := password(r)
	if err != nil {
		return err
	}
	name, rest, ok := cstring(first)
	if !ok || string(name) != scramName || len(rest) < 4 {
		return malformed("SASLInitialResponse")
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
