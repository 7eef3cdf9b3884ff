package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A file holds one response: the blocks of its body, each behind its checksum,
// then its head, then a footer that says how long both are. A head that takes
// the place of another is appended with a footer of its own: the last footer
// counts.
const (
	blockSize  = 64 << 10
	framed     = blockSize + 4 // with its checksum
	footerSize = 8 + 16 + 8 + 8 + 4 + 4
	fileMagic  = "MERIOBJ1"

	maxHead = 256 << 10
	maxBody = 1 << 40
)

// A footer is what a file ends with.
type footer struct {
	id   storeID
	seq  uint64
	body uint64 // bytes, without checksums
	head uint32 // bytes
}

// seal returns head with its footer behind it.
func seal(head []byte, ft footer) []byte {
	b := make([]byte, 0, len(head)+footerSize)
	b = append(b, head...)
	b = append(b, fileMagic...)
	b = append(b, ft.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, ft.seq)
	b = binary.LittleEndian.AppendUint64(b, ft.body)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errDamaged is why a file is not read.
var errDamaged = errors.New("the file is damaged")

// parseFooter reads the last bytes of a file of size bytes. The checksum is not
// looked at: it is of the head too.
func parseFooter(b []byte, size int64) (ft footer, sum uint32, err error) {
	if len(b) != footerSize || string(b[:8]) != fileMagic {
		return ft, 0, fmt.Errorf("%w: it has no footer", errDamaged)
	}
	copy(ft.id[:], b[8:])
	ft.seq, ft.body, ft.head = binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint32(b[40:])
	if ft.head > maxHead || ft.body > maxBody || length(int64(ft.body))+int64(ft.head)+footerSize > size {
		return ft, 0, fmt.Errorf("%w: it is shorter than it says", errDamaged)
	}
	return ft, binary.LittleEndian.Uint32(b[44:]), nil
}

// length returns how long the blocks of a body are with their checksums.
func length(body int64) int64 { return body + 4*((body+blockSize-1)/blockSize) }

// readHead reads the head and the footer of a file of size bytes. unchecked
// skips the checksum: the negative control of what it is for.
func readHead(r io.ReaderAt, size int64, unchecked bool) (head []byte, ft footer, err error) {
	if size < footerSize {
		return nil, ft, fmt.Errorf("%w: it is cut off", errDamaged)
	}
	end := make([]byte, footerSize)
	if _, err = r.ReadAt(end, size-footerSize); err != nil && err != io.EOF {
		return nil, ft, err
	}
	ft, sum, err := parseFooter(end, size)
	if err != nil {
		return nil, ft, err
	}
	b := make([]byte, int(ft.head)+footerSize-4)
	if _, err = r.ReadAt(b, size-footerSize-int64(ft.head)); err != nil {
		return nil, ft, err
	}
	if !unchecked && crc32.Checksum(b, castagnoli) != sum {
		return nil, ft, fmt.Errorf("%w: the checksum of its head is wrong", errDamaged)
	}
	return b[:ft.head], ft, nil
}

// A blockWriter writes a body in blocks.
type blockWriter struct {
	w   io.Writer
	buf []byte // a checksum's room, and what of a block there is
	n   int64
}

func newBlockWriter(w io.Writer) *blockWriter {
	return &blockWriter{w: w, buf: make([]byte, 4, framed)}
}

// Write implements io.Writer.
func (b *blockWriter) Write(p []byte) (total int, err error) {
	for len(p) > 0 {
		k := min(len(p), framed-len(b.buf))
		b.buf, p, total = append(b.buf, p[:k]...), p[k:], total+k
		if len(b.buf) == framed {
			if err := b.flush(); err != nil {
				return total, err
			}
		}
	}
	b.n += int64(total)
	return total, nil
}

// flush writes the block that is begun.
func (b *blockWriter) flush() error {
	if len(b.buf) == 4 {
		return nil
	}
	binary.LittleEndian.PutUint32(b.buf, crc32.Checksum(b.buf[4:], castagnoli))
	_, err := b.w.Write(b.buf)
	b.buf = b.buf[:4]
	return err
}

// A Body is an open file's. Who has one must Close it.
type Body struct {
	Size int64

	file      *os.File
	failed    func(error) // is told of damage
	unchecked bool

	at, left int64 // what is read next, and how much
	block    []byte
	begin    int64 // of block, in the body; -1: none is read
}

// From lets the next Read begin at first, and end after n bytes. It reads the
// first block: what is damaged there is told before anything is answered.
func (b *Body) From(first, n int64) error {
	if first < 0 || n < 0 || first > b.Size || n > b.Size-first {
		return fmt.Errorf("bytes %d to %d of a body of %d", first, first+n, b.Size)
	}
	b.at, b.left = first, n
	if n == 0 {
		return nil
	}
	return b.fetch()
}

// fetch reads the block that the next byte is in, and checks it.
func (b *Body) fetch() error {
	begin := b.at / blockSize * blockSize
	if b.begin == begin && b.block != nil {
		return nil
	}
	size := min(blockSize, b.Size-begin)
	buf := make([]byte, 4+size)
	_, err := b.file.ReadAt(buf, begin/blockSize*framed)
	if err == nil && !b.unchecked && crc32.Checksum(buf[4:], castagnoli) != binary.LittleEndian.Uint32(buf) {
		err = fmt.Errorf("%w: the checksum of bytes %d to %d is wrong", errDamaged, begin, begin+size)
	}
	if err != nil {
		b.failed(err)
		return err
	}
	b.block, b.begin = buf[4:], begin
	return nil
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if err := b.fetch(); err != nil {
		return 0, err
	}
	n := copy(p[:min(int64(len(p)), b.left)], b.block[b.at-b.begin:])
	b.at, b.left = b.at+int64(n), b.left-int64(n)
	return n, nil
}

// Close implements io.Closer.
func (b *Body) Close() error { return b.file.Close() }
