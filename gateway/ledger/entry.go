package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"meridian"
)

// A Scope names the requests of which one is executed.
type Scope [sha256.Size]byte

// A Print is what all requests of a scope have in common.
type Print [sha256.Size]byte

// ScopeOf returns the scope of a key: nobody else's, and of no other resource.
func ScopeOf(caller, method, path, key string) Scope {
	return sum("scope", caller, method, path, key)
}

// PrintOf returns the fingerprint of a request: parts that must be the same.
func PrintOf(parts ...string) Print { return sum("print", parts...) }

// sum hashes parts so that no two lists of parts are the same text.
func sum(kind string, parts ...string) (out [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte("meridian idempotency\x00" + kind))
	for _, p := range parts {
		h.Write([]byte("\x00" + strconv.Itoa(len(p)) + ":" + p))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// A Claim is one gateway's wish to execute a request.
type Claim struct {
	Scope   Scope
	Print   Print
	ID      string // of this very claim, random
	Region  meridian.Region
	Request string        // its id, for people
	Within  time.Duration // after which its execution is over, whatever came of it
}

// An Entry is what the ledger says of a scope.
type Entry struct {
	Mine    bool           // the claim that asks has it
	Token   meridian.Token // of Mine: a history that has this position has the claim
	Print   Print
	Region  meridian.Region // that has it
	Request string
	Done    bool    // the execution was answered
	Over    bool    // its time has passed
	Clean   bool    // nothing that may write was sent for it: Touch was not called
	ID      string  // of the claim that has it
	Answer  *Answer // of Done; nil if it was too large
}

// An Answer is how an execution was answered.
type Answer struct {
	Status int            `json:"status"`
	Header http.Header    `json:"header"`
	Body   []byte         `json:"body"`
	Token  meridian.Token `json:"-"` // the newest position that it wrote or read
	Seen   string         `json:"token,omitempty"`
}

// encode writes an answer, or nil if that has more than limit bytes.
func (a Answer) encode(limit int) []byte {
	a.Seen = a.Token.Bare().String()
	text, err := json.Marshal(a)
	if err != nil {
		panic("ledger: texts that JSON cannot write: " + err.Error())
	}
	if len(text) > limit {
		return nil
	}
	return text
}

// decode reads what encode wrote.
func decode(text []byte) (*Answer, error) {
	a := &Answer{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	if a.Status < 200 || a.Status > 599 {
		return nil, fmt.Errorf("read a kept answer: status %d", a.Status)
	}
	if a.Seen == "" {
		return a, nil
	}
	t, err := meridian.ParseToken(a.Seen)
	if err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	a.Token = t
	return a, nil
}
