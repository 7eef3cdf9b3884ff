package session

// Take moves the group's messages out of g, which is empty afterwards and
// reuses the buffers of an old group.
func (g *Group) Take(old Group) Group {
	taken := *g
	*g = old
	g.Reset()
	return taken
}

// Groups returns how many groups wait for their ReadyForQuery, or have not
// ended yet.
func (t *Tracker) Groups() int {
	n, _ := t.Pending()
	if t.Open() {
		n++
	}
	return n
}
