package framing

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// writes knows where frames begin in what is written, so that a last one can
// be put in.
type writes struct {
	mu    sync.Mutex // guards what follows, and writing
	head  [9]byte
	have  int  // bytes of head
	left  int  // bytes of a payload
	sent  int  // bytes, since earned was last asked
	parts int  // frames of DATA, since probes was last asked
	ended bool // GOAWAY was written, or will be when the frame in progress is whole
	code  http2.ErrCode
	data  atomic.Int64 // bytes of DATA, ever
	made  atomic.Int64 // streams that net/http reset for what the client did, and that were not counted yet

	settings int     // SETTINGS frames that the client is to acknowledge
	granted  int64   // to the client's window of the connection
	away     bool    // net/http has said GOAWAY
	word     [4]byte // the payload of a WINDOW_UPDATE of the connection, or of RST_STREAM
	words    int     // bytes of it that are to come
	reset    uint32  // the stream of the last RST_STREAM
	hush     *hush   // nil, or what keeps from the client what it has heard before
}

// perWindow is how many bytes sent to a client pay for a WINDOW_UPDATE of its.
const perWindow = 256

func (w *writes) earned() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := float64(w.sent) / perWindow
	w.sent = 0
	return n
}

// probes returns how many PINGs what was sent pays for: clients of gRPC measure
// by one after a frame of DATA how much the path holds.
func (w *writes) probes() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.parts
	w.parts = 0
	return float64(n)
}

func (w *writes) write(to net.Conn, p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended && w.whole() {
		return 0, errEnded
	}
	if w.hush != nil {
		return len(p), w.whisper(to, p)
	}
	n, err := to.Write(p)
	w.sent += n
	w.follow(p[:n])
	if err == nil && w.ended && w.whole() {
		w.goAway(to)
		err = errEnded
	}
	return n, err
}

func (w *writes) whole() bool { return w.have == 0 && w.left == 0 }

// follow walks over frames that were written.
func (w *writes) follow(p []byte) {
	for len(p) > 0 {
		if w.left > 0 {
			n := min(w.left, len(p))
			if w.words > 0 {
				w.words -= copy(w.word[4-w.words:], p[:n])
				if w.words == 0 {
					w.worded(binary.BigEndian.Uint32(w.word[:]))
				}
			}
			w.left -= n
			p = p[n:]
			continue
		}
		n := copy(w.head[w.have:], p)
		p = p[n:]
		if w.have += n; w.have == len(w.head) {
			w.have, w.left = 0, int(w.head[0])<<16|int(w.head[1])<<8|int(w.head[2])
			w.note(http2.FrameType(w.head[3]))
		}
	}
}

// worded takes down what a frame says in its one word. Of a stream whose client
// sends on after it was reset, only the first reset is its doing.
func (w *writes) worded(word uint32) {
	if http2.FrameType(w.head[3]) == http2.FrameWindowUpdate {
		w.granted += int64(word)
		return
	}
	stream := binary.BigEndian.Uint32(w.head[5:])
	switch http2.ErrCode(word) {
	case http2.ErrCodeProtocol, http2.ErrCodeFlowControl, http2.ErrCodeStreamClosed, http2.ErrCodeFrameSize:
		if stream != w.reset {
			w.made.Add(1)
		}
	}
	w.reset = stream
}

// note takes down what a frame says of the connection.
func (w *writes) note(typ http2.FrameType) {
	switch typ {
	case http2.FrameData:
		w.data.Add(int64(w.left))
		w.parts++
	case http2.FrameSettings:
		if !http2.Flags(w.head[4]).Has(http2.FlagSettingsAck) {
			w.settings++
		}
	case http2.FrameGoAway:
		w.away = true
	case http2.FrameRSTStream:
		if w.left == 4 {
			w.words = 4
		}
	case http2.FrameWindowUpdate:
		if w.left == 4 && binary.BigEndian.Uint32(w.head[5:])&(1<<31-1) == 0 {
			w.words = 4
		}
	}
}

// end says GOAWAY as soon as no frame is half written. Nothing is written after it.
func (w *writes) end(to net.Conn, code http2.ErrCode) {
	to.SetWriteDeadline(time.Now().Add(time.Second)) // a client that floods need not read
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ended, w.code = true, code
	if w.whole() {
		w.goAway(to)
	}
}

// goAway names the highest of all streams: which of them were answered the client
// knows.
func (w *writes) goAway(to net.Conn) {
	to.Write(goAway(1<<31-1, w.code))
}

// goAway is a GOAWAY frame.
func goAway(last uint32, code http2.ErrCode) []byte {
	p := binary.BigEndian.AppendUint32([]byte{0, 0, 8, byte(http2.FrameGoAway), 0, 0, 0, 0, 0}, last)
	return binary.BigEndian.AppendUint32(p, uint32(code))
}
