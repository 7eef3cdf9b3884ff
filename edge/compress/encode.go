package compress

import (
	"bytes"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An encoder is what all three libraries have.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Levels, and the windows of bodies that pass, which bound an encoder's memory:
// zstd and gzip take some 0.5 MB, br 1 MB. RFC 9659 lets a window have 8 MiB.
const (
	gzipPassing, gzipKept     = 5, 7
	brotliPassing, brotliKept = 3, 6
	window                    = 17 // bits
)

// newEncoder makes an encoder. Its options are constant, and good.
func newEncoder(c Coding, kept bool) encoder {
	switch c {
	case Gzip:
		level := gzipPassing
		if kept {
			level = gzipKept
		}
		z, err := gzip.NewWriterLevel(io.Discard, level)
		return must(z, err)
	case Brotli:
		o := brotli.WriterOptions{Quality: brotliPassing, LGWin: window}
		if kept {
			o = brotli.WriterOptions{Quality: brotliKept}
		}
		return brotli.NewWriterOptions(io.Discard, o)
	}
	level, size := zstd.SpeedFastest, 1<<window
	if kept {
		level, size = zstd.SpeedBetterCompression, 4<<20
	}
	z, err := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(level), zstd.WithWindowSize(size), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	return must(z, err)
}

func must[E encoder](e E, err error) E {
	if err != nil {
		panic(err)
	}
	return e
}

// A spares keeps encoders that are not in use, for as long as the collector lets it.
type spares struct{ of [2][3]sync.Pool }

func (s *spares) pool(c Coding, kept bool) *sync.Pool {
	i, j := 0, map[Coding]int{Brotli: 0, Zstd: 1, Gzip: 2}[c]
	if kept {
		i = 1
	}
	return &s.of[i][j]
}

func (s *spares) take(c Coding, kept bool, to io.Writer) encoder {
	e, ok := s.pool(c, kept).Get().(encoder)
	if !ok {
		e = newEncoder(c, kept)
	}
	e.Reset(to)
	return e
}

func (s *spares) put(c Coding, kept bool, e encoder) {
	e.Reset(io.Discard)
	s.pool(c, kept).Put(e)
}

// whole encodes all that from writes, of about size bytes.
func (s *spares) whole(c Coding, from io.WriterTo, size int64) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, size/4+64))
	e := s.take(c, true, out)
	if _, err := from.WriteTo(e); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	s.put(c, true, e)
	return bytes.Clone(out.Bytes()), nil
}
