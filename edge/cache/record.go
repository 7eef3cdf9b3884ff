package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/edge/cache/disk"
)

// A record is an object's head as it is on disk: all of it but its body. The
// form is this program's own; recordVersion changes with it.
const recordVersion = 1

var errRecord = errors.New("it is no record of this version")

// label returns what an object is found by on disk.
func label(key string, o *object) disk.Label {
	return disk.Label{Key: hashOf(key), Variant: o.selector.hash(), Host: strings.ToLower(o.host), Path: o.path, Tags: o.tags}
}

// hashOf returns a hash of a key of which strangers can make no second one.
func hashOf(key string) (h [16]byte) {
	sum := sha256.Sum256([]byte(key))
	copy(h[:], sum[:])
	return h
}

func (s selector) hash() uint64 {
	h := sha256.New()
	for _, x := range s {
		h.Write(binary.AppendUvarint(nil, uint64(len(x.name))))
		h.Write([]byte(x.name))
		h.Write(binary.AppendUvarint(nil, uint64(len(x.value))))
		h.Write([]byte(x.value))
	}
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// record writes an object's head, for the key that it stands under.
func record(key string, o *object) []byte {
	h := hashOf(key)
	b := append([]byte{recordVersion}, h[:]...)
	b = appendText(b, o.host, o.path)
	b = appendTexts(b, o.tags)
	b = binary.AppendUvarint(b, uint64(o.status))
	b = append(b, byte(o.proto[0]), byte(o.proto[1]))
	b = appendHeader(b, o.header)
	b = appendHeader(b, o.body.trailers())
	b = appendHeader(b, o.announced)
	b = appendDirectives(b, o.directives)
	b = binary.AppendVarint(b, int64(o.life.d))
	b = append(b, bit(o.life.explicit))
	b = appendText(b, o.life.why)
	b = binary.AppendUvarint(b, uint64(len(o.selector)))
	for _, x := range o.selector {
		b = appendText(b, x.name, x.value)
	}
	b = appendText(b, o.version.String(), o.told.String())
	for _, t := range []time.Time{o.began, o.received} {
		b = binary.AppendVarint(b, t.UnixNano())
	}
	b = binary.AppendVarint(b, int64(o.age))
	b = binary.AppendVarint(b, int64(o.delay))
	return append(b, bit(o.shared))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func appendTexts(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	return appendText(b, texts...)
}

func appendHeader(b []byte, h http.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = appendText(b, name)
		b = appendTexts(b, h[name])
	}
	return b
}

// flags are the directives that say yes or no, in the order of a record.
func (d *directives) flags() []*bool {
	return []*bool{
		&d.noStore, &d.noCache, &d.private, &d.public, &d.mustRevalidate, &d.proxyRevalidate, &d.mustUnderstand, &d.onlyIfCached,
	}
}

// deltas are those that say how long.
func (d *directives) deltas() []*delta {
	return []*delta{&d.maxAge, &d.sMaxAge, &d.whileRevalidate, &d.ifError, &d.maxStale, &d.minFresh}
}

func appendDirectives(b []byte, d directives) []byte {
	for _, f := range d.flags() {
		b = append(b, bit(*f))
	}
	for _, v := range d.deltas() {
		b = append(b, bit(v.set), bit(v.bad))
		b = binary.AppendVarint(b, int64(v.d))
	}
	return appendTexts(appendTexts(b, d.noCacheFields), d.privateFields)
}

func (r *fields) directives() (d directives) {
	for _, f := range d.flags() {
		*f = r.byte() == 1
	}
	for _, v := range d.deltas() {
		*v = delta{set: r.byte() == 1, bad: r.byte() == 1, d: time.Duration(r.int())}
		r.bad = r.bad || v.d < 0 || v.d > maxDelta
	}
	d.noCacheFields, d.privateFields = r.texts(), r.texts()
	return d
}

// parseRecord reads what record writes, and what it is found by. The object has
// no body.
func parseRecord(b []byte) (o *object, l disk.Label, trailer http.Header, err error) {
	r := &fields{b: b}
	if r.byte() != recordVersion {
		return nil, l, nil, errRecord
	}
	copy(l.Key[:], r.take(uint64(len(l.Key))))
	o = &object{host: r.text(), path: r.text(), tags: r.texts(), size: -1}
	o.status = int(r.uint(999))
	o.proto = [2]int{int(r.byte()), int(r.byte())}
	o.header = r.header()
	trailer = r.header()
	o.announced = r.header()
	o.directives = r.directives()
	o.life = lifetime{time.Duration(r.int()), r.byte() == 1, r.text()}
	for n := r.count(); n > 0; n-- {
		o.selector = append(o.selector, selecting{r.text(), r.text()})
	}
	o.version, o.told = r.tokens(), r.tokens()
	o.began, o.received = time.Unix(0, r.int()), time.Unix(0, r.int())
	o.age, o.delay = time.Duration(r.int()), time.Duration(r.int())
	o.shared = r.byte() == 1
	if r.bad || len(r.b) > 0 || o.status < 200 || o.life.d < 0 || o.age < 0 || o.delay < 0 {
		return nil, l, nil, errRecord
	}
	l.Variant, l.Host, l.Path, l.Tags = o.selector.hash(), strings.ToLower(o.host), o.path, o.tags
	return o, l, trailer, nil
}

// labelOf reads what a record is found by.
func labelOf(head []byte) (disk.Label, error) {
	_, l, _, err := parseRecord(head)
	return l, err
}

// fields are what of a record was not read yet.
type fields struct {
	b   []byte
	bad bool
}

func (r *fields) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *fields) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *fields) uint(most uint64) uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 || n > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *fields) int() int64 {
	n, k := binary.Varint(r.b)
	if k <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

// count reads how many follow, each of a byte at least.
func (r *fields) count() uint64 { return r.uint(uint64(len(r.b))) }

func (r *fields) text() string { return string(r.take(r.uint(1 << 31))) }

func (r *fields) texts() (out []string) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		out = append(out, r.text())
	}
	return out
}

func (r *fields) header() http.Header {
	h := http.Header{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		name := r.text()
		h[name] = r.texts()
	}
	return h
}

func (r *fields) tokens() meridian.Tokens {
	text := r.text()
	if text == "" {
		return nil
	}
	ts, err := meridian.ParseTokens(text)
	if err != nil {
		r.bad = true
	}
	return ts
}
