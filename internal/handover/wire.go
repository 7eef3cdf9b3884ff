package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// A message is one line of JSON. The sockets travel beside the one that names
// them, in its order.
type message struct {
	Take     bool   `json:"take,omitempty"`
	Restart  bool   `json:"restart,omitempty"` // asked by who is no next process
	PID      int    `json:"pid,omitempty"`     // of who takes
	Sockets  []sent `json:"sockets,omitempty"`
	Prepared bool   `json:"prepared,omitempty"`
	Released bool   `json:"released,omitempty"`
	Ready    bool   `json:"ready,omitempty"`
	Yielded  bool   `json:"yielded,omitempty"`
	Error    string `json:"error,omitempty"`
}

// A sent is one of the files that travel.
type sent struct {
	Name
	Note string `json:"note,omitempty"`
}

// maxMessage bounds a message, in bytes: it holds more names than a message can
// carry sockets.
const maxMessage = 64 << 10

// maxSockets is how many the kernel lets one message carry (unix(7), SCM_MAX_FD).
const maxSockets = 253

// A line is a connection between the two processes.
type line struct {
	conn *net.UnixConn
	rest []byte
	fds  []int // that came and belong to nobody yet
}

func (l *line) send(m message, files ...*os.File) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if b = append(b, '\n'); len(b) > maxMessage {
		return fmt.Errorf("a message of %d bytes: expected at most %d", len(b), maxMessage)
	}
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn() // not Fd, which lets the socket block, in both processes
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return err
		}
	}
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	_, _, err = l.conn.WriteMsgUnix(b, rights, nil)
	return err
}

// receive waits for the next message.
func (l *line) receive() (m message, err error) {
	buf, oob := make([]byte, maxMessage), make([]byte, syscall.CmsgSpace(4*maxSockets))
	for {
		if text, rest, ok := bytes.Cut(l.rest, []byte("\n")); ok {
			l.rest = rest
			if err := json.Unmarshal(text, &m); err != nil {
				return m, fmt.Errorf("a message that is none: %w", err)
			}
			return m, nil
		}
		n, control, _, _, err := l.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return m, err
		}
		if l.fds, err = rights(l.fds, oob[:control]); err != nil {
			return m, err
		}
		if n == 0 {
			return m, errors.New("the other process hung up")
		}
		if l.rest = append(l.rest, buf[:n]...); len(l.rest) > maxMessage {
			return m, errors.New("a message without end")
		}
	}
}

// rights adds the files that a control message carries.
func rights(fds []int, control []byte) ([]int, error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return fds, err
	}
	for _, m := range messages {
		more, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		for _, fd := range more {
			syscall.CloseOnExec(fd)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// close also closes files that nobody took.
func (l *line) close() {
	for _, fd := range l.fds {
		syscall.Close(fd)
	}
	l.fds = nil
	l.conn.Close()
}
