package config

import (
	"fmt"
	"os"

	"meridian/internal/kv"
)

// A KeyValueStore is what edge functions read with cf.kvs().
type KeyValueStore struct {
	File string `key:"file" doc:"What it holds until meridian kvs changes it, in the form that CloudFront imports. Default: nothing." want:"a JSON file such as ./redirects.json"`
	pos  position
}

func (d *decoder) checkStores(f *File) {
	for _, name := range sorted(f.KeyValueStores) {
		s := f.KeyValueStores[name]
		if !policyName.MatchString(name) || len(name) > 64 {
			d.fail(d.names[s.pos.key], "found "+short(name), "a name of at most 64 letters, digits, hyphens and underscores, a letter first")
		}
		if s.File == "" || d.elsewhere {
			continue
		}
		p := d.at(s.pos, "file")
		b, err := os.ReadFile(s.File)
		if err != nil {
			d.exists(p, s.File, "a JSON file", false)
			continue
		}
		if _, err := kv.Parse(b); err != nil {
			d.fail(p, fmt.Sprintf("%s: %v", s.File, err), `{"data": [{"key": "K", "value": "V"}]}`)
		}
	}
}
