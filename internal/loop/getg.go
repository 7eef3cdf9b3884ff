//go:build linux && (amd64 || arm64)

package loop

// getg returns what tells the calling goroutine from all others that live: the
// address of what the runtime keeps of it. It is compared and never followed.
func getg() uintptr
