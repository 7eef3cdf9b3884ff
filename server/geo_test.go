package server

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/edge"
)

// The file may name what an edge can tell, and nothing else.
func TestTheFileKnowsWhatEdgesTellOfViewers(t *testing.T) {
	text, err := os.ReadFile("../config/viewer.go")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`"CloudFront-[A-Za-z0-9-]+"`).FindAllString(string(text), -1)
	told := edge.ViewerHeaders()
	for i, name := range known {
		known[i] = strings.ToLower(strings.Trim(name, `"`))
	}
	for i, name := range told {
		told[i] = strings.ToLower(name)
	}
	slices.Sort(known)
	slices.Sort(told)
	if !slices.Equal(known, told) {
		t.Errorf("the file knows %v, edges %v", known, told)
	}
}
