package articles

import (
	"crypto/rand"
	"strings"
)

// slugs are the two names that an article with a title may get: a plain one,
// and one that no other article has.
type slugs struct{ plain, unique string }

// slugMost bounds a plain slug, in bytes.
const slugMost = 80

// newSlug keeps ASCII letters and digits, in lower case, and joins what stood
// between them with a hyphen. A title that leaves nothing, or the word that
// the feed's address uses, has no plain slug.
func newSlug(title string) slugs {
	end := strings.ToLower(rand.Text()[:10])
	plain := plainSlug(title)
	switch plain {
	case "":
		return slugs{end, end}
	case "feed":
		return slugs{plain + "-" + end, plain + "-" + end}
	}
	return slugs{plain, plain + "-" + end}
}

func plainSlug(title string) string {
	var b strings.Builder
	gap := false
	for _, c := range strings.ToLower(title) {
		if c == '\'' || c == '’' {
			continue
		}
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			gap = b.Len() > 0
			continue
		}
		if b.Len()+2 > slugMost { // a hyphen and this letter
			break
		}
		if gap {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(c)
	}
	return b.String()
}
