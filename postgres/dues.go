package postgres

// A due is a group of a peer's session for which PostgreSQL owes ReadyForQuery, or
// COPY data that came between two.
type due struct {
	end      byte // what ended it, S, Q or F; or d, COPY data, or c, the end of COPY data
	extended int  // how many messages of the extended protocol are in it
	amid     bool // of data: it is the group's whose end comes behind it, not that of the Query before it
}

func (x due) data() bool { return x.end == 'd' || x.end == 'c' }

// dues is what PostgreSQL owes a peer's session, in order. After an error in the
// extended protocol it passes over everything up to a Sync, a Query and a
// FunctionCall too; and during COPY FROM STDIN it ignores each Sync.
type dues struct {
	all      []due
	open     int  // messages of the extended protocol that no end has followed yet
	answered int  // of those of the first group
	passes   bool // PostgreSQL passes over what comes, up to a Sync
	copying  bool // PostgreSQL takes COPY data
}

// sent notes a message of that type, and reports whether ReadyForQuery is owed for
// it, as far as is known.
func (d *dues) sent(typ byte) bool {
	switch typ {
	case 'P', 'B', 'D', 'E', 'C':
		if !d.passes {
			d.open++
		}
		return false
	case 'Q', 'F':
		if d.passes {
			return false
		}
	case 'S':
		d.passes = false
	default:
		return false
	}
	d.all = append(d.all, due{end: typ, extended: d.open})
	d.open = 0
	return true
}

// data notes COPY data, or its end. It returns how many groups are not owed any more.
func (d *dues) data(typ byte) (ignored int) {
	if typ == 'f' {
		typ = 'c'
	}
	n := len(d.all)
	if n == 0 && d.open == 0 {
		return 0
	}
	if d.copying && d.first() == n {
		ignored = d.ignore(n)
		n -= ignored
	}
	x := due{end: typ, amid: d.open > 0}
	if n == 0 || typ == 'c' || d.all[n-1] != x { // each end may be that of a COPY of its own
		d.all = append(d.all, x)
	}
	return ignored
}

// first returns where the first COPY data stands, or the end of all.
func (d *dues) first() int {
	for i, x := range d.all {
		if x.data() {
			return i
		}
	}
	return len(d.all)
}

// ignore drops what COPY has PostgreSQL ignore of the first n, and returns how many
// groups are not owed any more.
func (d *dues) ignore(n int) (ignored int) {
	keep, carried := 0, 0
	for i, x := range d.all {
		switch {
		case i < n && x.end == 'S':
			ignored++
			carried += x.extended
			continue
		case i < n && x.data():
			continue
		case i >= n && !x.data():
			x.extended += carried
			carried = 0
		}
		d.all[keep] = x
		keep++
	}
	d.all = d.all[:keep]
	d.open += carried
	return ignored
}

// came notes a reply of that type, and returns how many groups are not owed any
// more for which no ReadyForQuery has come.
func (d *dues) came(typ byte) (passed int) {
	switch typ {
	case 'C':
		d.answered++
		return d.tookData()
	case '1', '2', '3', 'n', 'T', 'I', 's':
		d.answered++
	case 'G':
		d.copying = true
		if i := d.first(); i < len(d.all) {
			return d.ignore(i)
		}
	case 'Z':
		d.answered = 0
		d.drop()
	case 'E':
		return d.failed()
	}
	return passed
}

// tookData notes that what was under way ended well: if that was COPY, it ignored
// what came before the end of its data.
func (d *dues) tookData() (ignored int) {
	if !d.copying {
		return 0
	}
	d.copying = false
	for i, x := range d.all {
		if x.end == 'c' {
			return d.ignore(i + 1)
		}
	}
	return 0
}

// failed notes an error.
func (d *dues) failed() (passed int) {
	if d.copying && d.first() == len(d.all) {
		passed = d.ignore(len(d.all))
	}
	d.copying = false
	first := due{extended: d.open}
	for _, x := range d.all {
		if !x.data() {
			first = x
			break
		}
	}
	if d.answered >= first.extended {
		return passed // a Query's own, or one as it commits
	}
	for len(d.all) > 0 && d.all[0].end != 'S' {
		if !d.all[0].data() {
			passed++
		}
		d.all = d.all[:copy(d.all, d.all[1:])]
	}
	d.passes, d.open = len(d.all) == 0, 0
	return passed
}

// drop drops the first group, and its COPY data before it or behind.
func (d *dues) drop() {
	n, groups := 0, 0
	for n < len(d.all) && (groups == 0 || d.all[n].data() && !d.all[n].amid) {
		if !d.all[n].data() {
			groups++
		}
		n++
	}
	d.all = d.all[:copy(d.all, d.all[n:])]
}
