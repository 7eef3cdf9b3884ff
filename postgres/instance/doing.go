package instance

// Doing says what keeps PostgreSQL from taking connections, for people; "" if it
// takes them.
func (in *Instance) Doing() string {
	s, _ := in.life.now()
	switch {
	case s.up:
		return ""
	case s.stopped:
		return "is stopped"
	case s.lacks() != "":
		return s.lacks()
	}
	return "starts"
}

// Lacks says why there is no data on which PostgreSQL can start, for people: it is
// copied, or undone up to where the primary's history left it; "" if there is.
func (in *Instance) Lacks() string {
	s, _ := in.life.now()
	return s.lacks()
}

func (s lifeState) lacks() string {
	if s.up || s.stopped {
		return ""
	}
	switch s.step {
	case Clone:
		return "is copied anew"
	case Rewind:
		return "rewinds"
	case Wait:
		return "waits for the primary"
	case Aside:
		return "is set aside"
	case Refuse:
		return "is refused"
	}
	return ""
}
