package web

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

const (
	blank   = "can't be blank"
	invalid = "is invalid"
)

// An Opt is a member of a JSON object that may be absent, null, of the wrong
// type, or a T. It never fails to decode, so that one wrong member does not
// hide what is wrong with the others.
type Opt[T any] struct {
	Set, Null, Bad bool
	Value          T
}

// UnmarshalJSON is called only for a member that is present.
func (o *Opt[T]) UnmarshalJSON(text []byte) error {
	o.Set = true
	if string(text) == "null" {
		o.Null = true
		return nil
	}
	o.Bad = json.Unmarshal(text, &o.Value) != nil
	return nil
}

// Decode reads the member of the request's JSON object that holds the input,
// such as "article" in {"article": {...}}. An absent one leaves into as it is.
func Decode(r *Request, member string, into any) error {
	text, err := r.Body()
	if err != nil {
		return Invalid("body", invalid)
	}
	var outer map[string]json.RawMessage
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return Invalid("body", invalid)
	}
	inner, ok := outer[member]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(inner, into); err != nil {
		return Invalid(member, invalid)
	}
	return nil
}

// A Check collects what is wrong with an input. The zero Check is ready.
type Check struct{ errors map[string][]string }

// Fail notes that a member breaks a rule.
func (c *Check) Fail(key, text string) {
	if c.errors == nil {
		c.errors = map[string][]string{}
	}
	c.errors[key] = append(c.errors[key], text)
}

// Err returns all that was noted as one 422, or nil.
func (c *Check) Err() error {
	if c.errors == nil {
		return nil
	}
	return &Error{Status: 422, Errors: c.errors}
}

// Required wants a text that is not blank.
func (c *Check) Required(key string, in Opt[string]) string {
	switch {
	case in.Bad:
		c.Fail(key, invalid)
	case strings.TrimSpace(in.Value) == "":
		c.Fail(key, blank)
	}
	return in.Value
}

// Change is for an update: absent means unchanged (nil), and a text that is
// given must not be null or blank.
func (c *Check) Change(key string, in Opt[string]) *string {
	if !in.Set {
		return nil
	}
	text := c.Required(key, in)
	return &text
}

// Nullable is for an update of a text that may be absent: change says whether
// it is given at all, and both null and "" clear it.
func (c *Check) Nullable(key string, in Opt[string]) (change bool, text *string) {
	if in.Bad {
		c.Fail(key, invalid)
	}
	if !in.Set || in.Null || in.Value == "" {
		return in.Set, nil
	}
	return true, &in.Value
}

// Number reads a query parameter that counts something. Values over most are
// taken for most.
func (c *Check) Number(r *Request, key string, least, most, absent int) int {
	text := r.Query(key)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) && n == math.MaxInt64 {
		err = nil
	}
	if err != nil || n < int64(least) {
		c.Fail(key, invalid)
		return absent
	}
	return int(min(n, int64(most)))
}
