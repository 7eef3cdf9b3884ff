// Package disk keeps what a cache has no room for in memory: named responses as
// opaque heads and bodies, in a folder of one node, bounded in bytes.
//
// In come heads and bodies; out comes what was put in, byte for byte, or
// nothing. Nothing that is torn, was changed, or was dropped is ever read again,
// also not by the process that starts next: which files live is said by a table
// that is mapped into memory, so that dropping one is a store to memory, is
// known to a process that starts after this one was killed, and waits for no
// disk. After the machine itself went down without Close, all is forgotten.
//
// Writing is done behind everybody's back, and given up where the disk is slow.
// The package knows nothing of HTTP; what an entry is found by is its Label.
package disk
