package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"meridian"
)

// The frames of our own that two proxies exchange on a stream of the backbone,
// among raw protocol messages. Their types are control characters, which
// PostgreSQL does not use.
const (
	FrameHello    = 0x01 // secondary to primary, first: a Hello
	FrameWelcome  = 0x02 // primary to secondary, first: the backend's ParameterStatus messages
	FrameRefuse   = 0x03 // primary to secondary, last: a Refusal
	FrameState    = 0x04 // secondary to primary, between groups: a State to apply first
	FramePosition = 0x05 // primary to secondary, before a ReadyForQuery outside a block: a Position
	FrameProbe    = 0x06 // both ways on a probe stream: a Probe
	FramePin      = 0x07 // secondary to primary, any time: why the session cannot move, or nothing
	FrameDefined  = 0x08 // primary to secondary on a probe stream whose Hello asks for it: the catalogues changed
	FrameDoubt    = 0x09 // on a stream for doubts: a Doubt, and a Doubted back
	FrameLend     = 0x0a // primary to secondary whose Hello lends: others wait for the connection of an idle session
)

// PeerVersion counts incompatible changes of these frames.
const PeerVersion = 1

// The purposes of a stream between proxies.
const (
	PurposeSession = "session" // carry one client's session
	PurposeCancel  = "cancel"  // cancel what the session of that ID runs
	PurposeProbe   = "probe"   // answer probes with the newest position
	PurposeDoubt   = "doubt"   // say what became of one transaction
)

// A Hello opens a stream. The first statement follows it in the same flight.
type Hello struct {
	Version  int     `json:"version"`
	Purpose  string  `json:"purpose"`
	From     string  `json:"from"`           // the secondary's region, for the log
	ID       string  `json:"id,omitempty"`   // of the session's stream; a secret between the two proxies
	Term     uint64  `json:"term,omitempty"` // in which the secondary takes this region for the primary's
	Role     string  `json:"role,omitempty"`
	Who      string  `json:"who,omitempty"` // for whom it is, where server connections are shared out
	Database string  `json:"database,omitempty"`
	Params   []Param `json:"params,omitempty"`
	State    State   `json:"state"`
	Defined  bool    `json:"defined,omitempty"` // of a probe stream: FrameDefined is understood
	Groups   int     `json:"groups,omitempty"`  // of a cancel: it is for what is of the stream's first so many
	Lends    bool    `json:"lends,omitempty"`   // FrameLend is understood
	Number   uint32  `json:"number,omitempty"`  // that the client was told at its login
}

// A State brings a backend to where the session is: statements to run before
// anything else, all of which must succeed.
type State struct {
	SQL   []string `json:"sql,omitempty"`
	Floor string   `json:"floor,omitempty"` // what must show there before anything runs, as a token without a seal
	// Claims must be part of the server's history, or nothing runs; tokens without
	// seals. Of an empty list nothing is said.
	Claims []string `json:"claims,omitempty"`
}

// A Refusal says why a stream is not served, or not any more. Nothing of the
// client's that is not answered was run: if Away is set it may be sent again,
// to whoever is the primary.
type Refusal struct {
	Code    string `json:"code"` // SQLSTATE
	Message string `json:"message"`
	Others  string `json:"others,omitempty"`  // as Error.Rest has them
	Away    bool   `json:"away"`              // this region cannot act as the primary
	Returns bool   `json:"returns,omitempty"` // its node is being started again: nothing is to be sent there until it answers a probe
	Ended   bool   `json:"ended,omitempty"`   // somebody ended the session's process: these were its last words
}

// A Doubt asks the primary of now what became of the transaction of a statement
// that a lost primary did not answer.
type Doubt struct {
	Handle   string       `json:"handle"`
	Timeline uint32       `json:"timeline"` // of the server to which it was sent, as that said; 0: it had not said anything yet
	Since    meridian.LSN `json:"since"`    // the log was at or past this before it was sent,
	SinceOn  uint32       `json:"sinceOn"`  // on this timeline
}

// A Doubted answers a Doubt.
type Doubted struct {
	Outcome  string       `json:"outcome"`
	Why      string       `json:"why"`
	Timeline uint32       `json:"timeline"` // of the primary of now
	Fork     meridian.LSN `json:"fork"`     // where that began
}

// JSON appends a frame of our own whose body is v.
func (b Builder) JSON(t byte, v any) Builder {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("wire: marshal %T: %v", v, err)) // these types always marshal
	}
	return b.Message(t, body)
}

// ParseJSON decodes the body of such a frame.
func ParseJSON(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%v: %w", err, malformed("frame between proxies"))
	}
	return nil
}

// A Position is a place in a database's history, as PostgreSQL counts it.
type Position struct {
	System   uint64
	Timeline uint32
	LSN      uint64
}

func (p Position) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, p.System)
	b = binary.BigEndian.AppendUint32(b, p.Timeline)
	return binary.BigEndian.AppendUint64(b, p.LSN)
}

// Position appends a FramePosition.
func (b Builder) Position(p Position) Builder { return b.Message(FramePosition, p.bytes()) }

// ParsePosition decodes a FramePosition's body.
func ParsePosition(b []byte) (Position, error) {
	if len(b) != 20 {
		return Position{}, malformed("position")
	}
	return Position{
		System:   binary.BigEndian.Uint64(b),
		Timeline: binary.BigEndian.Uint32(b[8:]),
		LSN:      binary.BigEndian.Uint64(b[12:]),
	}, nil
}

// A Probe asks with a number and is answered with the same number and the
// primary's flushed position at some instant between.
type Probe struct {
	Seq uint64
	Position
}

// Probe appends a FrameProbe.
func (b Builder) Probe(p Probe) Builder {
	return b.Message(FrameProbe, binary.BigEndian.AppendUint64(nil, p.Seq), p.Position.bytes())
}

// ParseProbe decodes a FrameProbe's body.
func ParseProbe(b []byte) (Probe, error) {
	if len(b) != 28 {
		return Probe{}, malformed("probe")
	}
	pos, err := ParsePosition(b[8:])
	return Probe{Seq: binary.BigEndian.Uint64(b), Position: pos}, err
}
