package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// promisedAtStart returns what a new session's reads are promised: what its
// start-up parameters say, by name or in options, which own reports, or else
// def. PostgreSQL gets the same by name, so that SHOW, RESET and DISCARD ALL
// tell the truth.
func promisedAtStart(def meridian.Consistency, params []wire.Param) (c meridian.Consistency, own bool, _ []wire.Param, err error) {
	value := ""
	for _, p := range params {
		switch {
		case strings.EqualFold(p.Name, classify.Consistency):
			value = p.Value
		case p.Name == "options" && value == "":
			value = fromOptions(p.Value, classify.Consistency)
		}
	}
	if own = value != ""; !own {
		value = def.String()
	}
	if c, err = meridian.ParseConsistency(value); err != nil {
		return c, own, nil, &wire.Error{Code: stateParameter, Message: fmt.Sprintf("invalid value for parameter %q: %q", classify.Consistency, value), Hint: "Available values: " + meridian.Levels + "."}
	}
	params = slices.DeleteFunc(slices.Clone(params), func(p wire.Param) bool { return strings.EqualFold(p.Name, classify.Consistency) })
	return c, own, append(params, wire.Param{Name: classify.Consistency, Value: value}), nil
}

// fromOptions returns what the options parameter, written as arguments of
// postgres, says of a setting, or "". A backslash takes the special
// meaning from the character after it.
func fromOptions(options, setting string) (value string) {
	var args []string
	word, in := strings.Builder{}, false
	for i := 0; i < len(options); i++ {
		switch c := options[i]; {
		case c == '\\' && i+1 < len(options):
			i++
			word.WriteByte(options[i])
			in = true
		case c != ' ' && (c < '\t' || c > '\r'):
			word.WriteByte(c)
			in = true
		case in:
			args = append(args, word.String())
			word.Reset()
			in = false
		}
	}
	for i, arg := range append(args, word.String()) {
		name, v, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "--"), "-c"), "=")
		named := strings.EqualFold(name, setting)
		if named && (arg[0] == '-' || i > 0 && args[i-1] == "-c") {
			value = v
		}
	}
	return value
}

// changesPromise is the verdict on a group that reads and also changes what
// its reads are promised: the primary fulfils any promise.
var changesPromise = &classify.Verdict{Where: classify.Primary, Why: "it changes the consistency amid other statements", Count: 1}

// promiseLocked notes what a statement of the group at hand is promised. Its
// hint goes before the session's setting, that before what the routes of the
// invocations in flight say, and that before the database's; of several
// statements what keeps all their promises holds for all. ran is the verdict on what EXECUTE names.
func (c *client) promiseLocked(v *routeView, said, ran *classify.Verdict) {
	mode, ok := c.state.Consistency()
	switch {
	case ok:
	case c.own || c.env == nil:
		mode = c.base
	default:
		mode = c.env.promised(c.base)
	}
	for _, d := range []*classify.Verdict{ran, said} {
		if d != nil && d.Consistency != nil {
			mode = *d.Consistency
		}
	}
	if reads(ran) {
		if v.Reads {
			mode = mode.Both(v.Mode)
		}
		v.Mode, v.Reads = mode, true
	} else if !v.Reads {
		v.Mode = mode
	}
	if said != nil {
		v.Sets = v.Sets || slices.ContainsFunc(said.Effects, func(e classify.Effect) bool { return e.Name == classify.Consistency })
	}
}

// reads reports whether a statement may show data: settings and the ends of
// blocks do not.
func reads(v *classify.Verdict) bool {
	return v == nil || v.Block != classify.Begin && v.Block != classify.End && len(v.Effects) == 0
}

// await waits until the local PostgreSQL holds what the group at hand may not
// miss.
func (c *client) await(ctx context.Context) freshDecision {
	if c.at = c.stays(); c.at == nil {
		c.at = c.p.own()
	}
	if c.block == onNear && !c.looksAgain() {
		return freshDecision{freshServe, "its block has its view"}
	}
	v := c.fresh(ctx)
	c.stepTo(ctx, &v)
	c.look(&v)
	if v.Mode.Level == meridian.Bounded && v.Age > v.Mode.Bound/2 { // the sample may be what is old
		c.at.watch.sample(ctx)
		c.look(&v)
	}
	d := decideFresh(v)
	var began time.Time
	if d.Do == freshAsk || d.Do == freshWait {
		began = time.Now()
	}
	trip := patience(c.p.deps.Map.Now(), c.p.cfg.Region)
	if v.Primary && len(c.p.demand().Quorums) > 0 {
		trip = c.p.cfg.PrimaryTimeout // what a standby showed may wait for others' word here, and no other node could serve it sooner
	}
	for d.Do == freshAsk || d.Do == freshWait || d.Do == freshLook {
		c.learn(ctx, &v, d.Do, trip)
		c.stepTo(ctx, &v)
		c.look(&v)
		d = decideFresh(v)
	}
	if v.Asked || v.Waited {
		waited := time.Since(began)
		c.p.metrics.waited.Observe(waited.Seconds())
		c.env.note(func(o *meridian.Observation) { o.Waited += waited })
	}
	if v.Mode.Level == meridian.Bounded && !v.Primary {
		c.p.probe.bounded(v.Mode.Bound)
		if v.Age > v.Mode.Bound/2 && v.Trip <= v.Mode.Bound {
			c.p.probe.want(nil) // so that the next read need not wait
		}
	}
	return d
}

// learn does what decideFresh said to know more.
func (c *client) learn(ctx context.Context, v *freshView, do string, trip time.Duration) {
	switch do {
	case freshAsk:
		ask, cancel := context.WithTimeout(ctx, 2*trip)
		defer cancel()
		a, err := c.p.probe.ask(ask)
		v.Asked, v.Mute, v.Floor = true, err != nil, newest(v.Floor, a.token)
	case freshWait:
		c.awaitFloor(ctx, v.Floor, trip)
		v.Waited = true
	case freshLook:
		look, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout)
		defer cancel()
		_, err := c.at.watch.sample(look)
		v.Looked, v.Silent = true, err != nil
	}
}

// looksAgain reports whether the group at hand sees newer data than what was
// read before in its READ ONLY block, and was promised some.
func (c *client) looksAgain() bool {
	return c.reads && !(c.begin.steady && c.begin.viewed) && (c.mode.Level == meridian.Bounded || c.mode.Level == meridian.Global)
}

// fresh collects what deciding on a read needs to know.
func (c *client) fresh(ctx context.Context) freshView {
	v := freshView{Floor: c.asked(), Stale: c.env.unreachable(c.p.cfg.Unreachable) == meridian.ServeStale}
	if c.reads {
		v.Mode = c.mode
	}
	if c.p.ignoreFloors {
		v.Floor, v.Mode = meridian.Token{}, meridian.Consistency{}
	}
	s := c.p.deps.Map.Now()
	if primary, ok := s.Primary(); ok {
		v.Primary = primary.Name == c.p.cfg.Region
		v.Lapsed = c.p.lapsed()
		v.Trip, _ = s.RTT(c.p.cfg.Region, primary.Name)
	}
	return v
}

// look reads what may have changed meanwhile.
func (c *client) look(v *freshView) {
	bounded := v.Mode.Level == meridian.Bounded
	v.Here = c.at.watch.apparent()
	switch {
	case bounded && v.Lapsed:
		v.Age = c.p.sinceLapse()
	case bounded:
		v.Age = c.at.staleness()
	}
	if v.Lapsed {
		v.Exposed = c.p.exposed()
	}
	if (bounded || v.Asked || v.Waited) && !c.p.returns() {
		v.Away = c.p.away()
	}
}

// stale says that the group at hand is answered older than its promise: to the
// client as a warning, and to the gateway beside the answer.
func (c *client) stale(why string) {
	c.p.metrics.stale.Inc()
	c.env.note(func(o *meridian.Observation) { o.Stale = why })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = wire.Builder(c.out).Notice(&wire.Error{Severity: "WARNING", Code: stateWarning, Message: "meridian: the data may be stale: " + why})
}

// tooOld does what was decided about a group that the local PostgreSQL is too
// far behind for.
func (c *client) tooOld(ctx context.Context, d freshDecision) error {
	if d.Do == freshForward {
		c.p.metrics.routed("behind")
	} else {
		c.away(d.Why)
	}
	switch {
	case c.block == onNear && (d.Do == freshRefuse || !c.begin.movable):
		return c.failBlock(ctx, stateTooOld, d.Why)
	case d.Do == freshRefuse:
		return c.fail(&wire.Error{Severity: "ERROR", Code: stateTooOld, Message: "meridian: " + d.Why})
	case c.block == onNear:
		if err := c.leaveNear(); err != nil {
			return err
		}
	}
	return c.runMain(ctx, d.Why)
}
