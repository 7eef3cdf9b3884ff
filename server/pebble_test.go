package server

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
)

// newOrder is the path at which pebble takes new orders.
const newOrder = "/order-plz"

// knows reports whether the authority would know which order is replaced by one that
// names a certificate (RFC 9773, section 4.1): it lists an order a moment after it has
// shown its certificate. It lists it under the serial number without the zero that
// RFC 9773 wants before one whose first bit is set, and looks it up with it: one
// certificate of 256 would never be found.
func knows(memory *db.MemoryStore, certificate string) bool {
	_, text, _ := strings.Cut(certificate, ".")
	serial, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(serial) == 0 {
		return false
	}
	if _, err := memory.GetOrderByIssuedSerial(hex.EncodeToString(serial)); err == nil {
		return true
	}
	o, err := memory.GetOrderByIssuedSerial(hex.EncodeToString(serial[1:]))
	if serial[0] != 0 || err != nil {
		return false
	}
	o.RLock()
	defer o.RUnlock()
	return memory.AddOrderByIssuedSerial(&core.Order{Order: o.Order, AccountID: o.AccountID,
		CertificateObject: &core.Certificate{ID: hex.EncodeToString(serial)}}) == nil
}

// replaces returns which certificate a new order says that it replaces. The request
// is as it was afterwards.
func replaces(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var signed struct{ Payload string }
	var order struct{ Replaces string }
	if json.Unmarshal(body, &signed) == nil {
		text, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
		json.Unmarshal(text, &order)
	}
	return order.Replaces
}

// TestASerialNumberWithAZeroIsKnown is what the tests of renewals need of the authority
// for one certificate of 256.
func TestASerialNumberWithAZeroIsKnown(t *testing.T) {
	memory := db.NewMemoryStore()
	memory.AddOrderByIssuedSerial(&core.Order{AccountID: "me", CertificateObject: &core.Certificate{ID: "ff01"}})
	body := `{"payload":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"replaces":"AQID.AP8B"}`)) + `"}`
	r := httptest.NewRequest(http.MethodPost, "/order-plz", strings.NewReader(body))
	if name := replaces(r); name != "AQID.AP8B" || !knows(memory, name) {
		t.Errorf("%q is not known", name)
	}
	if rest, _ := io.ReadAll(r.Body); string(rest) != body {
		t.Errorf("the request is %q afterwards", rest)
	}
	if o, err := memory.GetOrderByIssuedSerial("00ff01"); err != nil || o.AccountID != "me" {
		t.Errorf("the order with the zero: %v, %v", o, err)
	}
	if knows(memory, "AQID.AP8C") {
		t.Error("a certificate that nobody issued is known")
	}
}
