package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryKeyOfTheFileIsSeenToChange compares the reference, with all its keys,
// to one that lacks one of them; and to one that only stands elsewhere.
func TestEveryKeyOfTheFileIsSeenToChange(t *testing.T) {
	dir := referred(t)
	read := func(text string) *File {
		t.Helper()
		f, err := Parse("meridian.yaml", dir, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	whole := read(everything())
	if keys := Changed(whole, read("\n\n# moved\n"+everything())); len(keys) != 0 {
		t.Errorf("a file that only stands elsewhere differs in %v", keys)
	}
	for _, f := range fieldsOf(reflect.TypeFor[File]()) {
		without := *whole
		v := reflect.ValueOf(&without).Elem().Field(f.index)
		v.SetZero()
		if keys := Changed(whole, &without); !slices.Equal(keys, []string{f.key}) {
			t.Errorf("without %s, what differs is %v", f.key, keys)
		}
	}
	if keys := Changed(whole, read(strings.Replace(everything(), "defaultTTL: 1h", "defaultTTL: 2h", 1))); !slices.Equal(keys, []string{"behaviors"}) {
		t.Errorf("another time in a behaviour: %v", keys)
	}
}
