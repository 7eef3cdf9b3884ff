package disk

import "log/slog"

// A Config is what an operator may say of a store.
type Config struct {
	Dir   string // its own; nothing else may be in it
	Bytes int64  // of files at most
	Queue int64  // bytes in memory that wait to be written; 0 means 16 MiB
	Node  string // whose it is: what another node wrote is not read

	Boot string // names the start of the machine; "" means that the machine says so

	// Unchecked does not look at checksums. It is the negative control of what
	// they are for, and of no other use.
	Unchecked bool
}

// Deps is what the program provides. Label must be given.
type Deps struct {
	// Label reads what an entry is found by from its head.
	Label func(head []byte) (Label, error)
	Log   *slog.Logger
}

// A Label is what an entry is found by.
type Label struct {
	Key     [16]byte // a hash that strangers cannot make collide
	Variant uint64   // tells the entries of one key apart: a newer one takes the place of an older
	Host    string
	Path    string
	Tags    []string
}
