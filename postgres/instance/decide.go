package instance

import "fmt"

// A Folder is what is known of a data folder.
type Folder struct {
	Exists  bool   // it is there; it is whole then, since it got its name last
	Major   int    // of the PostgreSQL that made it
	System  uint64 // its system identifier
	Standby bool   // it follows a primary
}

// A View is what a decision stands on.
type View struct {
	Folder   Folder
	Role     Role
	Major    int    // of the binaries found
	Upstream uint64 // the primary's system identifier; 0 if it cannot be asked
}

// A Step is what to do with a data folder before PostgreSQL can run on it.
type Step string

// The steps.
const (
	Start  Step = "start"  // run PostgreSQL on it
	Init   Step = "init"   // make a new database
	Clone  Step = "clone"  // copy the primary's
	Aside  Step = "aside"  // move it away, then clone
	Wait   Step = "wait"   // until the primary can be asked
	Refuse Step = "refuse" // an operator must look
)

// Decide says what to do next, and why.
func Decide(v View) (Step, string) {
	f := v.Folder
	switch {
	case !f.Exists && v.Role == Primary:
		return Init, "there is no database yet"
	case !f.Exists && v.Upstream == 0:
		return Wait, "there is no copy yet, and the primary cannot be reached"
	case !f.Exists:
		return Clone, "there is no copy yet"
	case v.Role == Standby && v.Upstream != 0 && v.Upstream != f.System:
		return Aside, fmt.Sprintf("the primary is database system %d, this copy is of %d", v.Upstream, f.System)
	case f.Major != v.Major:
		return Refuse, fmt.Sprintf("the data was made by PostgreSQL %d, the programs found are of %d", f.Major, v.Major)
	case v.Role == Primary && f.Standby:
		return Refuse, "the data is a standby's; make its region the primary by a switchover or failover"
	case v.Role == Primary:
		return Start, "the database is here"
	case f.Standby && v.Upstream == 0:
		return Start, "the copy is whole; reads need no primary"
	case f.Standby:
		return Start, "the copy is whole and of the primary's database"
	case v.Upstream == 0:
		return Wait, "the data was a primary's, and the primary of now cannot be reached"
	}
	return Refuse, "the data was this database's primary, and may hold writes that the primary of now does not"
}
