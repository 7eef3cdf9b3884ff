package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/postgres/failover"
)

// movePatience bounds how long an operator's move is awaited.
const movePatience = 60 * time.Second

// maxWait is the longest that a move waits for sessions that cannot move. With
// the move itself it is less than an admin client waits.
const maxWait = 25 * time.Second

// answerPatience is how long an answer to a move may come after the term that it
// was meant for: a refusal raises the term first, and then says why.
const answerPatience = 5 * time.Second

// move asks for the primary to be moved, and waits until it is open in its new
// region, or stays where it is.
func (n *node) move(ctx context.Context, to meridian.Region, how client.Move) (client.Moved, error) {
	if how.Wait < 0 || how.Wait > maxWait {
		return client.Moved{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("wait %v for sessions that cannot move: want 0 to %v", how.Wait, maxWait))
	}
	if n.file.Database == nil {
		return client.Moved{}, meridian.WithKind(meridian.Invalid, errors.New("this world has no database"))
	}
	if theirs(n.file) {
		return client.Moved{}, errTheirs
	}
	if _, ok := n.atlas.Now().Region(to); !ok {
		return client.Moved{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no region %q; expected one of %s", to, n.regionNames()))
	}
	if p := n.phaseOf(to); p != "" {
		return client.Moved{}, meridian.WithKind(meridian.Unavailable, fmt.Errorf("%s is %s: it takes the writes once it counts", to, p))
	}
	db := n.file.Database.Name
	e, ok := n.store.Now().Get(primaryPrefix + db)
	var r failover.Record
	if !ok || json.Unmarshal(e.Value, &r) != nil {
		return client.Moved{}, meridian.WithKind(meridian.Unavailable, errors.New("no region holds the writes yet"))
	}
	if r.Region == to {
		return client.Moved{Region: string(to), Term: r.Term, Why: fmt.Sprintf("%s is the primary already", to)}, nil
	}
	asked := failover.Move{ID: fmt.Sprintf("%s-%d", to, time.Now().UnixNano()), To: to, Force: how.Force, Wait: how.Wait, Term: r.Term}
	if err := n.store.Put(ctx, movePrefix+db, mustJSON(asked)); err != nil {
		return client.Moved{}, notOrdered(to, n.members(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, movePatience+how.Wait)
	defer cancel()
	m, err := n.awaitMove(ctx, db, asked)
	if err != nil {
		return client.Moved{}, err
	}
	out := client.Moved{Region: string(to), Term: r.Term + 1, Why: m.Why, Killed: m.Killed}
	if !m.Paused.IsZero() {
		out.Pause = m.Opened.Sub(m.Paused)
	}
	return out, nil
}

// notOrdered says why a move could not even be asked for. An order that nobody
// else could see would let two regions take the writes.
func notOrdered(to meridian.Region, voters []config.Node, err error) error {
	if meridian.KindOf(err) != meridian.Unavailable {
		return fmt.Errorf("move the primary to %s: %w", to, err)
	}
	var names []string
	for _, v := range voters {
		names = append(names, v.Name)
	}
	return meridian.WithKind(meridian.Unavailable, fmt.Errorf(
		"move the primary to %s: the order must be written to the store, whose voters are %s: bring back as many as make a majority (%d), with the data they had: %w",
		to, strings.Join(names, ", "), len(names)/2+1, err))
}

// awaitMove returns what became of a move once that is final, and this node's
// own map shows it.
func (n *node) awaitMove(ctx context.Context, db string, asked failover.Move) (m moved, err error) {
	var overtaken time.Time
	for {
		watch := n.store.Watch()
		each(n.store.Now(), movedPrefix+db, n.log, func(_ string, x moved) { m = x })
		if m.ID == asked.ID && m.Phase == refused {
			return m, meridian.WithKind(meridian.Unavailable, fmt.Errorf("the primary was not moved to %s: %s", asked.To, m.Why))
		}
		if p, _ := n.atlas.Now().Primary(); m.ID == asked.ID && m.Phase == done && p.Name == asked.To {
			return m, nil
		}
		var r failover.Record
		each(n.store.Now(), primaryPrefix+db, n.log, func(_ string, x failover.Record) { r = x })
		late := m.ID != asked.ID && r.Term > asked.Term && r.Region != asked.To
		if late && overtaken.IsZero() {
			overtaken = time.Now()
		}
		if late && time.Since(overtaken) >= answerPatience {
			return m, meridian.WithKind(meridian.Unavailable, fmt.Errorf("the primary was not moved to %s: %s went on to term %d before it was begun, since standbys had called for another; ask again", asked.To, r.Region, r.Term))
		}
		redrawn := time.NewTimer(redraw)
		select {
		case <-ctx.Done():
			return m, meridian.WithKind(meridian.Timeout, fmt.Errorf("the primary was not seen to open in %s within %v; `meridian status` shows where it is", asked.To, movePatience))
		case <-watch:
		case <-redrawn.C:
		}
	}
}
