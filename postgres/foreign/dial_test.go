package foreign

import (
	"bytes"
	"strings"
	"testing"

	"meridian"
)

func TestABadDSNIsRefusedWithoutItsPassword(t *testing.T) {
	_, err := New("postgres://app:correct-horse@[::1/x?sslmode=perhaps")
	if meridian.KindOf(err) != meridian.Invalid || strings.Contains(err.Error(), "horse") {
		t.Errorf("%v", err)
	}
	s, err := New("host=192.0.2.1 port=6000 user=app dbname=hello sslmode=disable")
	if err != nil || s.Address() != "192.0.2.1:6000" {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzFirst(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	f.Add([]byte{0, 0, 0, 15, 0, 3, 0, 0, 'u', 0, 'a', 0, 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := readFirst(bytes.NewReader(b)); err == nil && (len(body) < 4 || len(body) > maxFirst) {
			t.Errorf("a first message of %d bytes", len(body))
		}
	})
}
