package meridian

// A Fate is what became, after a failover, of what a token names.
type Fate struct {
	Is  Outcome
	Why string
	// Fresh stands for a token whose position went down with an old primary: it
	// names all of the history that its bearer may still count on. It is zero
	// while the token itself is good.
	Fresh Token
}

// An Outcome says what became of a token's position, and of its last write.
type Outcome string

// The outcomes.
const (
	Valid     Outcome = "valid"     // the position is part of the history
	ReadOnly  Outcome = "read-only" // it is not, and its bearer wrote nothing that could be lost
	Committed Outcome = "committed" // it is not, but its last write is
	Lost      Outcome = "lost"      // its last write is not, either
	Unknown   Outcome = "unknown"   // nobody can tell any more whether its last write is
	Sought    Outcome = "sought"    // the log is being searched for it
)
