package disk

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A table says which slots have a file that lives: 16 bytes for each slot, the
// number of what is in it (0: nothing lives there) and when it was made stale,
// in Unix milliseconds (0: it was not). It is a mapped file: what is stored here
// is known to whoever opens it next on this machine, whatever becomes of this
// process.
type table struct {
	id    storeID
	file  *os.File
	slots []slotState // mapped
	raw   []byte      // the mapping
	head  header
}

type slotState struct{ seq, soft uint64 }

// A storeID names one making of a folder. What another one wrote is not read.
type storeID [16]byte

const (
	tableMagic = "MERIDSK1" // changes with the form of table or files
	headerSize = 4096
	slotSize   = int(unsafe.Sizeof(slotState{}))
)

// A header is what the table's file begins with.
type header struct {
	ID    storeID
	Node  [sha256.Size]byte
	Boot  [36]byte // names the start of the machine
	Clean bool     // it was closed since
	Slots uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, tableMagic...)
	b = append(b, h.ID[:]...)
	b = append(b, h.Node[:]...)
	b = append(b, h.Boot[:]...)
	clean := byte(0)
	if h.Clean {
		clean = 1
	}
	b = append(b, clean)
	b = binary.LittleEndian.AppendUint32(b, h.Slots)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:headerSize]
}

func decodeHeader(b []byte) (h header, err error) {
	n := len(tableMagic) + len(h.ID) + len(h.Node) + len(h.Boot) + 5
	switch {
	case len(b) < n+4 || !bytes.HasPrefix(b, []byte(tableMagic)):
		return h, errors.New("it is of another version")
	case binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return h, errors.New("its header is damaged")
	}
	b = b[len(tableMagic):]
	b = b[copy(h.ID[:], b):]
	b = b[copy(h.Node[:], b):]
	b = b[copy(h.Boot[:], b):]
	h.Clean, h.Slots = b[0] == 1, binary.LittleEndian.Uint32(b[1:])
	return h, nil
}

// machineBoot names the start of the machine; "" where there is no name for it.
func machineBoot() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // else none
	return strings.TrimSpace(string(b))
}

// errTaken says that another process has the folder.
var errTaken = errors.New("another process uses it")

// openTable opens the table of a node, or makes one. fresh says why it is a new
// one; it is "" if the old one holds.
func openTable(path, node, boot string, slots int) (t *table, fresh string, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil, "", errTaken
	}
	h, why := believe(f, node, boot)
	if why != "" {
		h = header{Node: sha256.Sum256([]byte(node))}
		rand.Read(h.ID[:])
		if err = f.Truncate(0); err != nil {
			return nil, "", err
		}
	}
	t = &table{id: h.ID, file: f}
	had := h.Slots
	h.Slots, h.Clean = max(h.Slots, uint32(slots)), false
	copy(h.Boot[:], boot)
	if err = grow(f, int(had), int(h.Slots)); err != nil {
		return nil, "", err
	}
	t.head = h
	if err = t.writeHeader(); err != nil { // from now on it is not clean, also after a loss of power
		return nil, "", err
	}
	t.raw, err = unix.Mmap(int(f.Fd()), 0, headerSize+int(h.Slots)*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, "", fmt.Errorf("map the table: %w", err)
	}
	t.slots = unsafe.Slice((*slotState)(unsafe.Pointer(&t.raw[headerSize])), h.Slots)
	return t, why, nil
}

// believe reads a table's header, and says why it cannot be believed.
func believe(f *os.File, node, boot string) (h header, why string) {
	b := make([]byte, headerSize)
	n, err := io.ReadFull(f, b)
	if n == 0 {
		return h, "there is none yet"
	}
	if err != nil {
		return h, "its header is cut off"
	}
	if h, err = decodeHeader(b); err != nil {
		return h, err.Error()
	}
	var now [36]byte
	copy(now[:], boot)
	info, err := f.Stat()
	switch {
	case err != nil || info.Size() != headerSize+int64(h.Slots)*int64(slotSize):
		return h, "its length is not what it says"
	case h.Node != sha256.Sum256([]byte(node)):
		return h, "it is of another node"
	case !h.Clean && (boot == "" || h.Boot != now):
		return h, "the machine went down while it was open"
	}
	return h, ""
}

// grow fills the file with empty slots, all written: a hole in a mapped file
// needs room when it is stored to, and there may be none.
func grow(f *os.File, from, to int) error {
	zeros := make([]byte, 64<<10)
	end := int64(headerSize + to*slotSize)
	for at := int64(headerSize + from*slotSize); at < end; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-at)], at); err != nil {
			return fmt.Errorf("make room for the table: %w", err)
		}
	}
	return nil
}

func (t *table) writeHeader() error {
	if _, err := t.file.WriteAt(t.head.encode(), 0); err != nil {
		return err
	}
	return t.file.Sync()
}

// get returns what lives in a slot, and when it was made stale: nothing, if the
// disk below the mapping fails.
func (t *table) get(slot uint32) (seq uint64, soft time.Time) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			seq, soft = 0, time.Time{}
		}
	}()
	s := &t.slots[slot]
	if ms := atomic.LoadUint64(&s.soft); ms != 0 {
		soft = time.UnixMilli(int64(ms))
	}
	return atomic.LoadUint64(&s.seq), soft
}

// set says what lives in a slot; 0: nothing. It reports whether the table took
// it, which it does not if the disk below the mapping fails.
func (t *table) set(slot uint32, seq uint64, soft time.Time) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	s := &t.slots[slot]
	ms := uint64(0)
	if !soft.IsZero() {
		ms = uint64(soft.UnixMilli())
	}
	if seq == 0 { // dead first
		atomic.StoreUint64(&s.seq, 0)
	}
	atomic.StoreUint64(&s.soft, ms)
	atomic.StoreUint64(&s.seq, seq)
	return true
}

// close says that all is well, to whoever opens the table next.
func (t *table) close(clean bool) error {
	err := unix.Msync(t.raw, unix.MS_SYNC)
	if err == nil && clean {
		t.head.Clean = true
		err = t.writeHeader()
	}
	return errors.Join(err, unix.Munmap(t.raw), t.file.Close())
}
