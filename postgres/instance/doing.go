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
	return "starts"
}
