package edge

import (
	"errors"
	"fmt"
	"net/http"

	"meridian"
	"meridian/edge/origin"
	"meridian/internal/idempotency"
)

// A keying is what a request's Idempotency-Key is worth.
type keying struct {
	keyed bool // it has one, and is not safe to repeat without
	once  bool // by which the regions execute it once
}

// readKey finds out whether the request may be repeated though it may have been
// executed: it has an Idempotency-Key, as it is sent on, by which the regions
// deduplicate. They refuse a key that cannot be read.
func (x *exchange) readKey() {
	if origin.Safe(x.r.Method) {
		return
	}
	key, err := idempotency.Key(x.header[idempotency.Header])
	x.keyed = key != "" && err == nil
	x.once = x.keyed && x.cfg.Deduplicated && x.custom == nil
	if x.way == origin.Way(x.origin) && !x.once {
		x.way = x.origin.Wary()
	}
}

// inDoubt returns why a request that is not safe to repeat may have been executed,
// after another attempt failed: nil if it surely was not. A later attempt that was
// never sent takes no doubt away, and what the client is told says so.
func (x *exchange) inDoubt(before, err error) error {
	var e *origin.Error
	switch {
	case before != nil || origin.Safe(x.r.Method) || !errors.As(err, &e) || e.Sent != origin.MaybeSent:
		return before
	case e.Kind == meridian.Unavailable: // its region was found to be silent
		return &origin.Error{Region: e.Region, Sent: e.Sent, Kind: meridian.Malformed, Err: e.Err}
	}
	return err
}

// unclaimed returns an error for the answer of a region that could not find out
// whether another has executed the request: a third may.
func (x *exchange) unclaimed(resp *http.Response) error {
	why := resp.Header.Get(idempotency.HeaderUnclaimed)
	if why == "" || resp.StatusCode != http.StatusServiceUnavailable {
		return nil
	}
	resp.Body.Close()
	return &origin.Error{Region: x.choice.Region, Sent: origin.Unsent, Kind: meridian.Unavailable, Err: fmt.Errorf("it cannot tell whether the request was executed: %.200s", why)}
}
