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
	switch s.step {
	case Wait:
		return "waits for the primary"
	case Aside:
		return "is set aside"
	case Refuse:
		return "is refused"
	}
	return "starts"
}

// Lacks says what is being done to data on which PostgreSQL cannot start before, for
// people: they are copied, or wound back to where the primary's history left them; ""
// if nothing is.
func (in *Instance) Lacks() string {
	s, _ := in.life.now()
	return s.lacks()
}

func (s lifeState) lacks() string {
	switch {
	case s.up || s.stopped:
	case s.step == Clone:
		return "is copied anew"
	case s.step == Rewind:
		return "rewinds"
	}
	return ""
}
