package origin

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"meridian"
)

// A Rumour is what one edge tells the others of a region that it found broken.
type Rumour struct {
	Region meridian.Region `json:"region"`
	By     Evidence        `json:"by"`
	Why    string          `json:"why"`
}

const (
	// rumourLife is how long a rumour counts that nothing confirmed or disproved.
	rumourLife = time.Second
	// deafAfter is how long rumours of a region are not heard after one was
	// disproved: an edge that is wrong, or cut off, must not be a burden.
	deafAfter = 5 * time.Second
	// maxRumour bounds a rumour, in bytes.
	maxRumour = 1 << 10
)

// ReadRumour reads a rumour as another edge wrote it.
func ReadRumour(r io.Reader) (Rumour, error) {
	var m Rumour
	if err := json.NewDecoder(io.LimitReader(r, maxRumour)).Decode(&m); err != nil {
		return m, fmt.Errorf("rumour: %w", err)
	}
	if m.Region == "" || !slices.Contains([]Evidence{ByLink, ByRequest, BySilence, ByWord}, m.By) {
		return m, fmt.Errorf("rumour: region %q, by %q: want a region, and link, request, silence or word", m.Region, m.By)
	}
	m.Why = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, m.Why)
	return m, nil
}

// WriteRumour writes a rumour for ReadRumour.
func WriteRumour(w io.Writer, m Rumour) error {
	if len(m.Why) > maxRumour/8 { // escaped, it may take six times that
		m.Why = strings.ToValidUTF8(m.Why[:maxRumour/8], "")
	}
	return json.NewEncoder(w).Encode(m)
}

// Hear takes a rumour from another edge. It is weighed less than what this edge
// sees itself: until a byte or an answer disproves it, or its own failure
// confirms it, requests keep away from the region if there is another.
func (o *Origin) Hear(from string, m Rumour) {
	if o.link(m.Region) == nil {
		return
	}
	o.memory.change(m.Region, func(c Circuit) Circuit {
		return c.Rumoured(time.Now(), m.By, fmt.Sprintf("%s says: %s", from, m.Why))
	})
}

// spread tells other edges of a region that this one found broken, unless it
// finds most of them broken: then it is likely itself that is cut off.
func (o *Origin) spread(r meridian.Region, c Circuit) {
	if o.deps.Tell == nil || c.Phase != Open {
		return
	}
	if broken, all := o.memory.open(), o.regions(); 2*broken > all {
		o.deps.Log.Info("a region is not told of: most look broken from here", "region", r, "broken", broken, "of", all)
		return
	}
	o.deps.Tell(Rumour{r, c.By, c.Why})
}

func (o *Origin) regions() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.links)
}
