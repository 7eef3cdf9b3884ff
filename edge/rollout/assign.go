package rollout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Plan says who is given the staged version.
type Plan struct {
	Version string  `json:"version"`
	Seed    []byte  `json:"seed"`    // that all edges draw by; not for clients
	Percent float64 `json:"percent"` // of clients, or of requests

	// Header and Value give it to every request that has them, whatever the
	// percentage; Header is canonical, "" means none.
	Header string `json:"header,omitempty"`
	Value  string `json:"value,omitempty"`

	By     By            `json:"by"`
	Sticky time.Duration `json:"sticky,omitempty"` // how long a client that asks nothing keeps what it drew, by a cookie; 0 sets none
}

// By says what is drawn for.
type By string

// What is drawn for: whoever asks, known by its credential or else by its
// network, or each request.
const (
	ByClient  By = "client"
	ByRequest By = "request"
)

// Cookie is what a client keeps its draw in.
const Cookie = "meridian-rollout"

// An Asking is what a request shows of who sent it.
type Asking struct {
	Header  string // its value of Plan.Header
	Cookie  string // its value of Cookie
	Client  string // what the client is known by
	Request string // the request's id
}

// An Assignment is the version that a request is given.
type Assignment struct {
	Staged bool
	Why    string
	Cookie string // that the client is to keep; "" is none
}

// draws is how many places there are to draw: a percentage has four decimals.
const draws = 1_000_000

// Assign gives a request its version. Who has the staged one at a percentage has
// it at every larger one.
func Assign(p Plan, a Asking) Assignment {
	if p.Header != "" && a.Header == p.Value {
		return Assignment{Staged: true, Why: "by the header " + p.Header}
	}
	place, ok := p.kept(a.Cookie)
	from := "as its cookie says"
	if !ok {
		place, from = p.draw(a), "of its "+string(p.By)
	}
	out := Assignment{Staged: float64(place) < p.Percent*draws/100}
	out.Why = fmt.Sprintf("place %.4f %%, %s, of %v %%", float64(place)*100/draws, from, p.Percent)
	if p.Sticky > 0 && p.Percent > 0 && p.Percent < 100 {
		out.Cookie = p.cookie(place)
	}
	return out
}

// draw returns the place of who asks, from 0 to draws.
func (p Plan) draw(a Asking) uint64 {
	who := "c" + a.Client
	if p.By == ByRequest {
		who = "r" + a.Request
	}
	return binary.BigEndian.Uint64(p.sign(who)) % draws
}

func (p Plan) sign(text string) []byte {
	m := hmac.New(sha256.New, p.Seed)
	m.Write([]byte(p.Version))
	m.Write([]byte{0})
	m.Write([]byte(text))
	return m.Sum(nil)
}

// cookie returns what a client keeps its place in. Nobody can choose a place:
// the seed seals it.
func (p Plan) cookie(place uint64) string {
	text := p.Version + "." + strconv.FormatUint(place, 10)
	return text + "." + hex.EncodeToString(p.sign("k" + text)[:8])
}

// kept returns the place that a cookie holds, if it is of this version and
// sealed.
func (p Plan) kept(cookie string) (place uint64, ok bool) {
	version, rest, _ := strings.Cut(cookie, ".")
	if version != p.Version || version == "" {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, ".")
	place, err := strconv.ParseUint(number, 10, 32)
	return place, err == nil && place < draws && hmac.Equal([]byte(cookie), []byte(p.cookie(place)))
}
