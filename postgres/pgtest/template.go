package pgtest

import (
	"errors"
	"fmt"
)

// A Template is a cluster that was founded and ended. Servers begin as copies of
// it: to copy one costs half of what it costs to found one. All copies are of
// one system, so that one can be another's standby from its first moment. A test
// that needs a system of its own has Start.
type Template struct{ server *Server }

// Found makes a template with a role and a database of that name.
func Found(name string) (*Template, error) {
	s, err := Start(name)
	if err != nil {
		return nil, err
	}
	if err := s.Shutdown(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return &Template{s}, nil
}

// Remove removes the template's folder.
func (t *Template) Remove() error { return t.server.Stop() }

// Primary runs a primary.
func (t *Template) Primary() (*Server, error) { return t.copy(t.server.name, nil) }

// Standby runs a standby of a primary that has just begun as a copy, and thus
// still has all of its log.
func (t *Template) Standby(name string, of *Server) (*Server, error) { return t.copy(name, of) }

func (t *Template) copy(name string, upstream *Server) (*Server, error) {
	s, err := newServer(name)
	if err != nil {
		return nil, err
	}
	err = s.tool("cp", "-a", t.server.Dir, s.Dir)
	if err == nil && upstream == nil {
		err = s.settings("")
	} else if err == nil {
		err = errors.Join(s.settings(fmt.Sprintf("primary_conninfo='%s'\n", upstream.conninfo(name))), s.signal())
	}
	if err == nil {
		err = s.run()
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}
