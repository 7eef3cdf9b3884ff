package postgres

import "time"

// controls switch guards off, one each: the tests' proof that it matters.
type controls struct {
	ignoreFloors    bool // reads wait for nothing
	aloneProbes     bool // every global read asks the primary for itself
	insertPositions bool // a primary's position is where it inserts, flushed or not
	flushedAlone    bool // a position is the flushed one, also of who commits asynchronously
	answerAlone     bool // a peer's answers to groups travel by themselves
	cancelHasty     bool // a cancel request waits for nothing
	cancelLate      bool // a cancel request may reach what came after it
	sampleFirst     bool // an invocation's token is taken before its statements
	sinceSeen       bool // an invocation is as new as the newest that it may have seen
	noHandles       bool // transactions are not named in the log
	readsWait       bool // without the right to act nothing is read in the primary's region
	writableReads   bool // what is read there then may write
	exposes         bool // and may see what its standbys lack
	ownTimeline     bool // the server to which a statement was sent is taken to be on the asker's timeline
	noHorizon       bool // a write that is not found is lost, however far back was searched
	forgetsShown    bool // a session that moves to another replica may be shown older data
	goesBlind       bool // a session does not tell the primary what it was shown elsewhere
	looksAway       bool // what is confirmed and does not show yet counts as shown
	untouching      bool // nobody is told before what may write is sent
	anyHistory      bool // what was claimed in another history runs
	forgetsLast     bool // who asks for a position when PostgreSQL has stopped for a move gets none
	sampleOnce      bool // who asks for a position while PostgreSQL is away is told at once that there is none
	stateHasty      bool // a secondary's session brings its state while PostgreSQL answers what came before
	hasty           bool // whom a statement signals is not waited for on its way to the primary
	noStandIns      bool // a session without a process on the primary cannot be signaled there
	numberless      bool // nobody tells the primary what number a session was told
	trustsTimeline  bool // a standby that does not receive is on the timeline on which it was before
	criesWolf       bool // a token past a fork is taken for lost, whatever it names

	sampleFor time.Duration // in place of sampleBudget, where the machine is slow
}
