package server

import (
	"fmt"

	"meridian/config"
	"meridian/edge/waf"
)

// wallKey names a firewall's configuration, "" none: behaviours that say the same
// share one.
func wallKey(w *config.WAF) string {
	if w == nil {
		return ""
	}
	return fmt.Sprint(w.Mode, w.Paranoia, w.Exclude)
}

// firewalls compiles those of the file, by wallKey.
func firewalls(f *config.File) (map[string]*waf.Firewall, error) {
	out := map[string]*waf.Firewall{}
	for _, b := range f.Behaviors {
		key := wallKey(b.WAF)
		if key == "" || out[key] != nil {
			continue
		}
		w, err := waf.New(waf.Config{Detect: b.WAF.Mode == "detect", Paranoia: b.WAF.Paranoia, Exclude: b.WAF.Exclude})
		if err != nil {
			return nil, fmt.Errorf("behavior %s: %w", b.Path, err)
		}
		out[key] = w
	}
	return out, nil
}
