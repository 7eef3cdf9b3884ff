package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Policy is what a holder of a key grants: one statement of CloudFront's.
type Policy struct {
	Resource string       // a URL, in which * is anything and ? one character
	Until    time.Time    // exclusive
	From     time.Time    // zero if there is none
	Client   netip.Prefix // who may use it; invalid means everybody
}

// document is a policy's JSON.
type document struct {
	Statement []statement
}

type statement struct {
	Resource  string `json:",omitempty"`
	Condition condition
}

// condition has its fields in the order in which CloudFront's own canned policy
// and its SDKs write them.
type condition struct {
	IPAddress       *source `json:"IpAddress,omitempty"`
	DateGreaterThan *epoch  `json:",omitempty"`
	DateLessThan    *epoch  `json:",omitempty"`
}

type source struct {
	IP string `json:"AWS:SourceIp"`
}

type epoch struct {
	Seconds *int64 `json:"AWS:EpochTime"`
}

// parse reads a policy. It wants one statement that ends at some time, and
// nothing that it does not know.
func parse(text []byte) (p Policy, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return p, fmt.Errorf("it is no policy: %w", err)
	}
	if d.More() || len(doc.Statement) != 1 {
		return p, fmt.Errorf("it has %d statements, not one", len(doc.Statement))
	}
	s := doc.Statement[0]
	if p.Resource = s.Resource; p.Resource == "" {
		p.Resource = "*" // CloudFront's documented default
	}
	if s.Condition.DateLessThan == nil {
		return p, errors.New("it has no end")
	}
	if p.Until, err = s.Condition.DateLessThan.time(); err != nil {
		return p, err
	}
	if s.Condition.DateGreaterThan != nil {
		if p.From, err = s.Condition.DateGreaterThan.time(); err != nil {
			return p, err
		}
	}
	if s.Condition.IPAddress != nil {
		p.Client, err = network(s.Condition.IPAddress.IP)
	}
	return p, err
}

// maxEpoch is the last second that every kind of clock here can hold.
const maxEpoch = 1 << 40

func (e epoch) time() (time.Time, error) {
	if e.Seconds == nil || *e.Seconds < 0 || *e.Seconds > maxEpoch {
		return time.Time{}, errors.New("a time of it is none")
	}
	return time.Unix(*e.Seconds, 0), nil
}

// network reads a network, or an address, which is one of itself.
func network(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("its address %q is none", s)
	}
	return p.Masked(), nil
}

// canned returns the text that stands for a canned policy: it is not sent, and
// both sides write it alike.
func canned(resource, expires string) string {
	return `{"Statement":[{"Resource":"` + resource + `","Condition":{"DateLessThan":{"AWS:EpochTime":` + expires + `}}}]}`
}

// seconds reads the time of a canned policy, which is digits alone: it stands in
// the signed text as it came.
func seconds(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxEpoch || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("%q is no time", s)
	}
	return time.Unix(n, 0), nil
}

// CloudFront's base64 has no character that means something in a URL.
var (
	toURL   = strings.NewReplacer("+", "-", "=", "_", "/", "~")
	fromURL = strings.NewReplacer("-", "+", "_", "=", "~", "/")
)

func encode(b []byte) string { return toURL.Replace(base64.StdEncoding.EncodeToString(b)) }

func decode(s string) ([]byte, error) {
	if len(s) > maxGrant {
		return nil, fmt.Errorf("%d bytes, of at most %d", len(s), maxGrant)
	}
	return base64.StdEncoding.DecodeString(fromURL.Replace(s))
}
