package health

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of what another node may say.
const (
	maxFrame  = 256 << 10
	maxFacts  = 64
	maxText   = 512 // bytes of a name, a reason, or a fact
	maxSights = 2048
	maxRTT    = time.Minute
)

// A Report is what a node says of itself and of the others.
type Report struct {
	Node   string
	Sights map[string]Sight // of each other node
	Facts  map[string]string
}

// A frame is a ping (without a report) or its answer (with one). On the wire
// it is a length of four bytes, big-endian, and JSON.
type frame struct {
	Seq    uint64      `json:"seq"`
	Report *wireReport `json:"report,omitempty"`
}

type wireReport struct {
	Node   string               `json:"node"`
	Sights map[string]wireSight `json:"sights"`
	Facts  map[string]string    `json:"facts,omitempty"`
}

// A wireSight has ages where a Sight has times, since clocks differ.
type wireSight struct {
	OK    bool   `json:"ok"`
	Known bool   `json:"known"`
	Why   string `json:"why"`
	ForMS int64  `json:"for_ms"`
	RTTUS int64  `json:"rtt_us"`
}

func writeFrame(w io.Writer, f frame) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("encode frame: %d bytes, the limit is %d", len(body), maxFrame)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readFrame(r io.Reader) (frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return frame{}, fmt.Errorf("frame of %d bytes, the limit is %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return frame{}, err
	}
	var f frame
	if err := json.Unmarshal(body, &f); err != nil {
		return frame{}, fmt.Errorf("decode frame: %w", err)
	}
	return f, nil
}

func encodeReport(r Report, now time.Time) *wireReport {
	w := &wireReport{Node: r.Node, Sights: make(map[string]wireSight, len(r.Sights)), Facts: clipFacts(r.Facts)}
	for n, s := range r.Sights {
		w.Sights[n] = wireSight{s.OK, s.Known, clip(s.Why), now.Sub(s.Since).Milliseconds(), s.RTT.Microseconds()}
	}
	return w
}

// decodeReport reads the report of a node, and refuses one that is not its own
// or that goes beyond the limits.
func decodeReport(w *wireReport, node string, now time.Time) (Report, error) {
	switch {
	case w == nil:
		return Report{}, errors.New("an answer without a report")
	case w.Node != node:
		return Report{}, fmt.Errorf("a report in the name of %.80q", w.Node)
	case len(w.Sights) > maxSights || len(w.Facts) > maxFacts:
		return Report{}, fmt.Errorf("a report with %d sights and %d facts", len(w.Sights), len(w.Facts))
	}
	for k, v := range w.Facts {
		if len(k) > maxText || len(v) > maxText {
			return Report{}, fmt.Errorf("fact %.80q is too long", k)
		}
	}
	r := Report{Node: w.Node, Facts: w.Facts, Sights: make(map[string]Sight, len(w.Sights))}
	for n, s := range w.Sights {
		rtt := time.Duration(s.RTTUS) * time.Microsecond
		if s.RTTUS < 0 || s.RTTUS > maxRTT.Microseconds() || s.ForMS < 0 || len(n) > maxText || len(s.Why) > maxText {
			return Report{}, fmt.Errorf("the sight of %.80q is out of bounds", n)
		}
		r.Sights[n] = Sight{OK: s.OK, Known: s.Known, Why: s.Why, Since: now.Add(-time.Duration(min(s.ForMS, 1<<40)) * time.Millisecond), RTT: rtt}
	}
	return r, nil
}

// clip and clipFacts keep what this node says within the limits that others
// hold it to: a fact too long must not cost it its whole report.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}

func clipFacts(facts map[string]string) map[string]string {
	if len(facts) == 0 {
		return nil
	}
	out := make(map[string]string, len(facts))
	for _, k := range slices.Sorted(maps.Keys(facts)) {
		if len(out) < maxFacts {
			out[clip(k)] = clip(facts[k])
		}
	}
	return out
}
