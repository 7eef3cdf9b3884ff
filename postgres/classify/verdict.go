package classify

import "meridian"

// A Where is a place to run.
type Where byte

// The places. Either is said of what has an effect only on the block or
// session that it meets: it goes where that is.
const (
	Standby Where = iota
	Either
	Primary
)

func (w Where) String() string { return [...]string{"standby", "either", "primary"}[w] }

// A Block is what a statement does to the transaction block.
type Block byte

// What a statement may do to the block.
const (
	NoBlock  Block = iota
	Begin          // opens one
	End            // COMMIT or ROLLBACK
	Inside         // SAVEPOINT and the like: the block cannot be opened again elsewhere
	Scripted       // a script of several statements with a block of its own
	Aside          // UNLISTEN, CLOSE and the like: as Inside, but they part nothing of a script from the rest
)

// An Act is what a statement does to the session's state, once it succeeded.
type Act byte

// The acts.
const (
	Set           Act = iota // Name is the setting, SQL sets it again
	ResetAll                 // all settings but the role
	DiscardAll               // the session is as new
	Prepare                  // Name is a statement, SQL prepares it again, Text is its body
	Deallocate               // Name
	DeallocateAll            //
	Pin                      // from now on everything runs on the primary; Name says why
	SetLocal                 // Name is a setting, until the block ends
)

func (a Act) String() string {
	return [...]string{"set", "reset all", "discard all", "prepare", "deallocate", "deallocate all", "pin", "set local"}[a]
}

// An Effect is an Act with its object.
type Effect struct {
	Act             Act
	Name, SQL, Text string // Text of Set: the value, if the proxy itself goes by it
}

// Undone reports whether a rollback undoes something that it does to the session.
func (v *Verdict) Undone() bool {
	for i := range v.Effects {
		if v.Effects[i].Undone() {
			return true
		}
	}
	return false
}

// NameOnly reports whether of the prepared statement that the text names nothing
// matters but that there is one of the name.
func (v *Verdict) NameOnly() bool {
	return v.Count == 1 && len(v.Effects) == 1 && (v.Effects[0].Act == Prepare || v.Effects[0].Act == Deallocate)
}

// Undone reports whether an effect is undone by a rollback.
func (e *Effect) Undone() bool {
	return e.Act == Set || e.Act == SetLocal || e.Act == ResetAll || e.Act == Pin
}

// A Verdict is what one text's words say of it. A Verdict is shared and must
// not be changed.
type Verdict struct {
	Names   *Names // by which it was judged; nil: none
	Where   Where
	Why     string
	Effects []Effect

	Block    Block
	ReadOnly bool // of Begin
	Steady   bool // of Begin: one snapshot for the whole block
	Foldable bool // of Begin: nothing can fail in it
	Lazy     bool // of Begin: the block's reads may run on a standby until it writes, if the session wants that

	Execute string   // the prepared statement that EXECUTE names: its verdict counts too
	Uses    []string // the prepared statements that the text names, if only as what it must not be
	Plain   bool     // a read that leaves nothing behind in its session
	Looks   bool     // of Plain: it takes a snapshot
	Alike   bool     // it belongs on the primary, but within a READ ONLY block any server gives the same answer
	Signals bool     // it names pg_terminate_backend or pg_cancel_backend
	Lists   bool     // it names pg_prepared_statements: all that the session has prepared
	DDL     bool     // may change what the catalogues say
	Commits bool     // of End: it is no ROLLBACK
	Ends    bool     // of several statements: the first one is an End
	Writes  bool     // it may write, as far as the words tell
	Handle  bool     // it may run in one transaction with the statement that leaves a handle
	Copies  bool     // it may read COPY data
	Count   int      // of statements

	Consistency *meridian.Consistency // what a hint asks for; nil without one
	Invalid     *string               // a value that is none, in a hint or in SET
	InvalidOf   string                // the setting that it was for
}
