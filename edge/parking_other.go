//go:build !unix

package edge

const canPark = false

// hasBytes cannot know.
func hasBytes(uintptr) bool { return true }
