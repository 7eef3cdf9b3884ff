package compress

import (
	"cmp"
	"context"
	"io"

	"github.com/maypok86/otter/v2"
)

// A Config is what an operator may say of encoding. A zero field means its
// default.
type Config struct {
	Memory int64 // bytes of encoded bodies that are kept; 0 means 32 MiB
	Whole  int64 // bytes of the largest body that is encoded at once and kept; 0 means 4 MiB
	Flying int   // bodies that are being encoded at once as they pass; 0 means 512
}

// A Compressor encodes bodies, and keeps what may be sent again. Its methods may
// be called by many goroutines at once.
type Compressor struct {
	cfg     Config
	spares  spares
	kept    *otter.Cache[key, []byte]
	tickets chan struct{} // one for each body that passes
}

// A key names an encoded body: which bytes, and how.
type key struct {
	body   any
	coding Coding
}

// New returns a Compressor that has nothing kept.
func New(cfg Config) *Compressor {
	cfg.Memory, cfg.Whole, cfg.Flying = cmp.Or(cfg.Memory, 32<<20), cmp.Or(cfg.Whole, 4<<20), cmp.Or(cfg.Flying, 512)
	return &Compressor{cfg: cfg, tickets: make(chan struct{}, cfg.Flying), kept: otter.Must(&otter.Options[key, []byte]{
		MaximumWeight: uint64(cfg.Memory),
		Weigher:       func(_ key, b []byte) uint32 { return uint32(len(b)) + 128 },
	})}
}

// Keeps reports whether a body of that size is encoded as a whole.
func (c *Compressor) Keeps(size int64) bool { return size >= 0 && size <= c.cfg.Whole }

// Have returns an encoded body if it is kept.
func (c *Compressor) Have(body any, coding Coding) ([]byte, bool) {
	return c.kept.GetIfPresent(key{body, coding})
}

// Whole returns a body encoded: kept from before, or made now, once for all who
// ask for it meanwhile. body names its bytes, and is comparable; from writes
// them, size is how many they are. made reports that this call made it.
func (c *Compressor) Whole(ctx context.Context, body any, coding Coding, from io.WriterTo, size int64) (b []byte, made bool, err error) {
	if b, ok := c.Have(body, coding); ok {
		return b, false, nil
	}
	b, err = c.kept.Get(ctx, key{body, coding}, otter.LoaderFunc[key, []byte](func(context.Context, key) ([]byte, error) {
		made = true
		return c.spares.whole(coding, from, size)
	}))
	return b, made, err
}

// Writer returns a writer that encodes what is written to it, or nil if too many
// are at work.
func (c *Compressor) Writer(coding Coding, to io.Writer) *Writer {
	select {
	case c.tickets <- struct{}{}:
	default:
		return nil
	}
	return &Writer{c: c, coding: coding, encoder: c.spares.take(coding, false, to)}
}

// A Writer encodes one body. It ends by Close or by Drop.
type Writer struct {
	encoder
	c      *Compressor
	coding Coding
}

// Close writes what is left, and the coding's end.
func (w *Writer) Close() error {
	err := w.encoder.Close()
	if err == nil {
		w.c.spares.put(w.coding, false, w.encoder)
	}
	<-w.c.tickets
	return err
}

// Drop leaves the body without its end, so that nobody takes it for whole.
func (w *Writer) Drop() { <-w.c.tickets }

// Flying returns how many bodies are being encoded as they pass.
func (c *Compressor) Flying() int { return len(c.tickets) }
