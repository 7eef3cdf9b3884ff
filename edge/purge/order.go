package purge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian"
	"meridian/edge/cache"
)

// maxItems bounds the purges of one order: they travel, and are kept, together.
const maxItems = 100

// An Order is what an operator asks for.
type Order struct {
	ID         string   // whoever hears nothing asks again with the same
	Items      []string // see Parse
	Host       string   // "" means every host
	Everything bool     // in place of Items
	Soft       bool
}

// Purges returns the purges of an order that was taken at a time.
func (o Order) Purges(at time.Time) ([]cache.Purge, error) {
	host, err := checkHost(o.Host)
	switch {
	case err != nil:
		return nil, err
	case o.ID == "" || len(o.ID) > 64 || !visible(o.ID) || strings.Contains(o.ID, separator):
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("purge: id %q: expected 1 to 64 visible characters, and no semicolon", clip(o.ID)))
	case o.Everything && len(o.Items) > 0:
		return nil, meridian.WithKind(meridian.Invalid, errors.New("purge: everything, and items beside it: expected one of the two"))
	case !o.Everything && len(o.Items) == 0:
		return nil, meridian.WithKind(meridian.Invalid, errors.New("purge: nothing is named: expected paths, prefixes or tags, or everything"))
	case len(o.Items) > maxItems:
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("purge: %d items: expected at most %d at once", len(o.Items), maxItems))
	}
	var out []cache.Purge
	if o.Everything {
		out = append(out, cache.Purge{Everything: true})
	}
	for _, item := range o.Items {
		p, err := Parse(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	for i := range out {
		out[i].ID, out[i].Host, out[i].Soft, out[i].At = fmt.Sprintf("%s/%d", o.ID, i), host, o.Soft, at
	}
	return out, nil
}
