package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"runtime"

	"golang.org/x/crypto/bcrypt"
)

// Passwords hashes and compares passwords with bcrypt. Each costs some 50 ms
// of a processor, so no more run at once than there are processors: others
// wait for their turn, or for their deadline.
type Passwords struct {
	turns chan struct{}
	decoy []byte // what an unknown user's password is compared with
}

// NewPasswords returns a hasher for the whole process.
func NewPasswords() (*Passwords, error) {
	decoy, err := bcrypt.GenerateFromPassword(digest("nobody"), bcrypt.DefaultCost)
	return &Passwords{turns: make(chan struct{}, runtime.GOMAXPROCS(0)), decoy: decoy}, err
}

// Hash returns what to store. It fails only when ctx ends before its turn.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	hash, err := bcrypt.GenerateFromPassword(digest(password), bcrypt.DefaultCost)
	return string(hash), err
}

// Match reports whether the password belongs to the hash. An empty hash
// belongs to no password, and takes as long to refuse as any other.
func (p *Passwords) Match(ctx context.Context, hash, password string) (bool, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if hash == "" {
		_ = bcrypt.CompareHashAndPassword(p.decoy, digest(password))
		return false, nil
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), digest(password)) == nil, nil
}

func (p *Passwords) turn(ctx context.Context) (done func(), err error) {
	select {
	case p.turns <- struct{}{}:
		return func() { <-p.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// digest fits a password of any length into the 72 bytes that bcrypt reads,
// in base64 since bcrypt stops at a zero byte.
func digest(password string) []byte {
	sum := sha256.Sum256([]byte(password))
	return []byte(base64.RawStdEncoding.EncodeToString(sum[:]))
}
