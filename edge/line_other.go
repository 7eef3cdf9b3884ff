//go:build !linux

package edge

// outgoing knows nothing.
func outgoing(uintptr) (int, bool) { return 0, false }
