package instance

import (
	"fmt"

	"meridian"
)

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
	Half     bool   // a rewind was cut off: the data is of no use
	Behind   bool   // the primary does not keep the log any more that this copy needs
	Upstream uint64 // the primary's system identifier; 0 if it cannot be asked

	// Of a copy that cannot just follow: a primary's own, or one that
	// PostgreSQL said took another turn than the primary.
	Turned     bool         // PostgreSQL said so
	Recovering bool         // what was reached is not promoted yet
	Further    bool         // nor need it be: this copy follows its region's
	Primary    uint32       // the primary's timeline
	Timeline   uint32       // the data's
	Fork       meridian.LSN // where the primary's history left Timeline, or if that cannot be asked, where Deps.Ended says so; 0 if it never was on it
	End        meridian.LSN // the end of the data's log
	Unreadable bool         // that cannot be found
}

// A Step is what to do with a data folder before PostgreSQL can run on it.
type Step string

// The steps.
const (
	Start  Step = "start"  // run PostgreSQL on it
	Init   Step = "init"   // make a new database
	Clone  Step = "clone"  // copy the primary's
	Rewind Step = "rewind" // keep what the primary lacks, then undo it
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
	case v.Half && v.Role == Primary:
		return Refuse, "a rewind of the data was cut off; only a copy of another region's can replace it"
	case v.Half && v.Upstream == 0:
		return Wait, "a rewind of the data was cut off, and the primary cannot be reached"
	case v.Half:
		return Aside, "a rewind of the data was cut off"
	case f.Major != v.Major:
		return Refuse, fmt.Sprintf("the data was made by PostgreSQL %d, the programs found are of %d", f.Major, v.Major)
	case v.Role == Primary && f.Standby:
		return Refuse, "the data is a standby's; make its region the primary by a switchover or failover"
	case v.Role == Primary:
		return Start, "the database is here"
	case v.Upstream == 0 && v.Turned:
		return Wait, "the copy took another turn than the primary, which cannot be reached now"
	case v.Upstream == 0 && f.Standby:
		return Start, "the copy is whole; reads need no primary"
	case v.Upstream == 0 && v.Fork != 0 && !v.Unreadable && v.End <= v.Fork:
		return Start, fmt.Sprintf("the data was a primary's and ends at %s; its timeline was left at %s", v.End, v.Fork)
	case v.Upstream == 0:
		return Wait, "the data was a primary's, and the primary of now cannot be reached"
	case v.Behind:
		return Aside, "the primary does not keep the log any more that this copy needs"
	case f.Standby && !v.Turned:
		return Start, "the copy is whole and of the primary's database"
	}
	return rejoin(v)
}

// rejoin decides for data of the primary's database that may hold what the
// primary's history does not.
func rejoin(v View) (Step, string) {
	switch {
	case v.Recovering && !v.Further:
		return Wait, "the data was a primary's, and no other region is promoted yet"
	case v.Primary < v.Timeline:
		return Wait, fmt.Sprintf("the primary reached is on timeline %d, this data already on %d", v.Primary, v.Timeline)
	case v.Primary == v.Timeline && !v.Folder.Standby:
		return Aside, fmt.Sprintf("two primaries wrote timeline %d", v.Primary)
	case v.Unreadable:
		return Aside, "the end of its log cannot be found"
	case v.Turned:
		return Rewind, "PostgreSQL says that the copy took another turn than the primary"
	case v.Fork == 0:
		return Rewind, fmt.Sprintf("the primary never was on timeline %d", v.Timeline)
	case v.End <= v.Fork:
		return Start, "the primary has all that this data has"
	}
	return Rewind, fmt.Sprintf("the primary turned off at %s, this data goes on to %s", v.Fork, v.End)
}
