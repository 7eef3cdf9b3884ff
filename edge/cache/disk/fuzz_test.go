package disk

import (
	"bytes"
	"testing"
)

// FuzzFile checks that nothing is read of a file but what was written into it:
// its own head, or nothing.
func FuzzFile(f *testing.F) {
	var b bytes.Buffer
	w := newBlockWriter(&b)
	w.Write([]byte("the body"))
	w.flush()
	b.Write(seal([]byte("a /x t v"), footer{seq: 1, body: 8}))
	f.Add(b.Bytes())
	f.Add(append(b.Bytes(), seal([]byte("a /x u v"), footer{seq: 2, body: 8})...))
	f.Add(b.Bytes()[1:])
	f.Fuzz(func(t *testing.T, file []byte) {
		head, ft, err := readHead(bytes.NewReader(file), int64(len(file)), false)
		if err != nil {
			return
		}
		again := seal(head, ft)
		if !bytes.HasSuffix(file, again) || length(int64(ft.body))+int64(len(again)) > int64(len(file)) {
			t.Errorf("%q is read of %q", head, file)
		}
	})
}

// FuzzTable checks that a header is read as it was written, or not at all.
func FuzzTable(f *testing.F) {
	h := header{Clean: true, Slots: 7}
	f.Add(h.encode())
	f.Add([]byte(tableMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader(b)
		if err == nil && !bytes.HasPrefix(append(b, make([]byte, headerSize)...), bytes.TrimRight(h.encode(), "\x00")) {
			t.Errorf("%+v is read of %q", h, b)
		}
	})
}
