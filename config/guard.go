package config

import (
	"fmt"
	"regexp"
)

// maxKeyGroup bounds the keys of a group; CloudFront's quota is 5.
const maxKeyGroup = 20

// keyID is what the ID of a trusted key is made of: it stands in URLs.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// checkKeyGroups checks whose signed URLs are trusted.
func (d *decoder) checkKeyGroups(f *File) {
	for _, id := range sorted(f.TrustedKeys) {
		p := d.where["trustedKeys."+id]
		if !keyID.MatchString(id) {
			d.fail(d.names["trustedKeys."+id], "found "+short(id), "an ID of letters, digits, hyphens and underscores")
		}
		d.exists(p, f.TrustedKeys[id], "a PEM file with a public key", false)
	}
	for _, name := range sorted(f.KeyGroups) {
		d.checkKeyGroup(f, name)
	}
}

func (d *decoder) checkKeyGroup(f *File, name string) {
	path, ids := "keyGroups."+name, f.KeyGroups[name]
	switch {
	case !policyName.MatchString(name):
		d.fail(d.names[path], "found "+short(name), "a name of letters, digits, hyphens and underscores, a letter first")
	case len(ids) == 0:
		d.fail(d.where[path], "a group without keys", "names under trustedKeys:")
	case len(ids) > maxKeyGroup:
		d.fail(d.where[path], fmt.Sprintf("%d keys", len(ids)), fmt.Sprintf("at most %d", maxKeyGroup))
	}
	for i, id := range ids {
		if _, ok := f.TrustedKeys[id]; !ok {
			d.fail(d.where[fmt.Sprintf("%s[%d]", path, i)], fmt.Sprintf("no trusted key is named %q", id), "a name under trustedKeys:")
		}
	}
}

// checkGuardOf checks who may come in by a behaviour.
func (d *decoder) checkGuardOf(f *File, b Behavior) {
	if _, ok := f.KeyGroups[b.Signed]; b.Signed != "" && !ok {
		d.fail(d.at(b.pos, "signed"), fmt.Sprintf("no key group is named %q", b.Signed), "a name under keyGroups:")
	}
}
