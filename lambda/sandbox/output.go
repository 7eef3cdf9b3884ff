package sandbox

import (
	"bytes"
	"sync"
)

const (
	maxLine = 16 << 10 // longer lines are cut into pieces of this size
	maxTail = 4 << 10  // how much of the end of stderr is kept
)

// lines cuts a stream into lines and hands each on as soon as it is whole.
type lines struct {
	emit func(line string)

	mu   sync.Mutex // guards what follows
	rest []byte     // the line that has not ended yet
	tail []byte     // the newest maxTail bytes
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - maxTail; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		switch {
		case i >= 0 && i <= maxLine:
			l.emit(string(bytes.TrimSuffix(l.rest[:i], []byte("\r"))))
			l.rest = l.rest[i+1:]
		case len(l.rest) > maxLine:
			l.emit(string(l.rest[:maxLine]))
			l.rest = l.rest[maxLine:]
		default:
			l.rest = append([]byte(nil), l.rest...) // let go of what was emitted
			return len(p), nil
		}
	}
}

// flush emits a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.emit(string(l.rest))
		l.rest = nil
	}
}

func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.tail))
}
