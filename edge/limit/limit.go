package limit

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// A Limit says how often a client may ask.
type Limit struct {
	Name     string
	Requests int           // in the time Per
	Per      time.Duration // 0 means a second
	Burst    int           // at once; 0 means Requests
	By       By
	Header   string // canonical name, of ByHeader
}

// By says what makes requests one client's.
type By string

// The ways to tell clients apart. Who has no identity, or does not send the
// header, is known by its address: of IPv6, the network of 64 bits.
const (
	ByAddress  By = "address"
	ByIdentity By = "identity"
	ByHeader   By = "header"
)

// interval is the time that one request takes of a client.
func (l *Limit) interval() time.Duration {
	per := l.Per
	if per == 0 {
		per = time.Second
	}
	return max(per/time.Duration(max(l.Requests, 1)), 1)
}

func (l *Limit) burst() int {
	if l.Burst > 0 {
		return l.Burst
	}
	return max(l.Requests, 1)
}

// A Key stands for one client and one limit. Two limits of the same name and
// another rate have other keys.
type Key [16]byte

// KeyOf returns the key of a client. What it is known by may be anything, and
// of any length.
func (l *Limit) KeyOf(client string) Key {
	var buf [256]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(l.interval()))
	b = append(b, l.Name...)
	b = append(b, 0)
	b = append(b, client...)
	sum := sha256.Sum256(b)
	return Key(sum[:16])
}

// A Verdict says whether a request may pass, and what is left.
type Verdict struct {
	Passes bool
	Left   int           // requests that may follow at once
	Full   time.Duration // until all may
	Again  time.Duration // until one may, of a request that may not pass
	Why    string
}

// judge decides on one request at now of a client whose bucket will be full at
// full, and returns the new full: the same, if it may not pass.
func (l *Limit) judge(full, now time.Time) (time.Time, Verdict) {
	step, room := l.interval(), time.Duration(l.burst())*l.interval()
	if full.Before(now) {
		full = now
	}
	next := full.Add(step)
	if over := next.Sub(now) - room; over > 0 {
		return full, Verdict{
			Full: full.Sub(now), Again: over,
			Why: fmt.Sprintf("%s: more than %d in %v", l.Name, l.Requests, step*time.Duration(max(l.Requests, 1))),
		}
	}
	return next, Verdict{Passes: true, Left: int((room - next.Sub(now)) / step), Full: next.Sub(now)}
}
