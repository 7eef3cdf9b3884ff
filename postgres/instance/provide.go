package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"meridian"
)

// provide takes the steps that Decide names until PostgreSQL can start.
func (in *Instance) provide(ctx context.Context, role Role) error {
	p := &provision{in: in, role: role, had: in.hadTrouble()}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		opened := in.gate.watch()
		unreached, err := p.step(ctx)
		if err != nil || p.done {
			return err
		}
		if unreached != nil {
			in.log.Debug("primary not reached yet", "err", unreached)
			if err := waitOr(ctx, pause, opened); err != nil {
				return err
			}
		}
	}
}

// A provision is the way to data on which PostgreSQL can start.
type provision struct {
	in   *Instance
	role Role
	had  trouble
	said string // why the last step was taken
	done bool
}

// step takes the next step. The first error says why the primary was not reached
// that the step needs: it is to be tried again.
func (p *provision) step(ctx context.Context) (unreached, err error) {
	v, history, unreached, err := p.in.look(ctx, p.role, p.had)
	if err != nil {
		return nil, err
	}
	step, why := Decide(v)
	p.tell(step, why)
	switch step {
	case Start:
		p.done = true
		return nil, nil
	case Refuse:
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("data folder %s: %s", p.in.data(), why))
	case Init:
		return unreached, p.in.initdb(ctx)
	case Clone:
		return p.clone(ctx, unreached)
	case Rewind:
		return p.rewind(ctx, v, history, unreached)
	case Aside:
		p.had = noTrouble
		return unreached, p.in.moveAside(v.Folder.System, why)
	case Wait:
		return cmp.Or(unreached, errors.New(why)), nil
	}
	return unreached, nil
}

// tell says what the next step is, once for each reason.
func (p *provision) tell(step Step, why string) {
	if why != p.said {
		p.in.log.Info("database folder", "do", string(step), "why", why, "dir", p.in.data())
		p.said = why
	}
	p.in.life.set(func(s *lifeState) { s.step = step })
}

// clone copies the primary. What fails is tried again.
func (p *provision) clone(ctx context.Context, unreached error) (_, err error) {
	if err = p.in.clone(ctx); err == nil || ctx.Err() != nil {
		return unreached, err
	}
	p.in.log.Warn("copying the primary failed, trying again", "err", err)
	return err, nil
}

// rewind brings the data to the primary's history, if that is there.
func (p *provision) rewind(ctx context.Context, v View, h history, unreached error) (_, err error) {
	if err = p.in.rewind(ctx, v, h); meridian.KindOf(err) == meridian.PrimaryUnavailable {
		return err, nil
	}
	p.had = noTrouble
	return unreached, err
}

// look finds out what Decide must know. The second error says why the primary
// could not be asked.
func (in *Instance) look(ctx context.Context, role Role, had trouble) (v View, h history, unreached, err error) {
	v = View{Role: role, Major: in.bin.Major(), Half: in.halfRewound(), Turned: had == turned, Behind: had == behind, Further: in.cfg.Further != ""}
	if v.Folder, err = inspect(in.data()); err != nil || role == Primary {
		return v, nil, nil, err
	}
	if v.Folder.Exists && v.Folder.Standby && had == noTrouble && !v.Half {
		return v, nil, nil, nil // reads must not wait for the primary
	}
	a, unreached := in.ask(ctx)
	if unreached != nil {
		return in.lookAlone(ctx, v), nil, unreached, nil
	}
	if v.Upstream = a.System; !v.Folder.Exists || v.Upstream != v.Folder.System || v.Folder.Major != v.Major {
		return v, nil, nil, nil
	}
	v.Recovering, v.Primary = a.Recovering, a.Timeline
	if v.Half || v.Behind {
		return v, nil, nil, nil
	}
	c, err := in.control(ctx, in.data())
	if err != nil {
		return v, nil, nil, err
	}
	v.Timeline = c.newest()
	v.Fork, _ = a.History.left(v.Timeline)
	err = in.lookForEnd(ctx, c, &v)
	return v, a.History, nil, err
}

// lookForEnd finds the end of the data's log.
func (in *Instance) lookForEnd(ctx context.Context, c controlFile, v *View) (err error) {
	v.End, err = in.end(ctx, c)
	if err != nil && ctx.Err() == nil {
		in.log.Warn("the end of the log cannot be found", "err", err)
		v.Unreadable, err = true, nil
	}
	return err
}

// lookAlone finds out what can be known without the primary of data that was
// one's own.
func (in *Instance) lookAlone(ctx context.Context, v View) View {
	if !v.Folder.Exists || v.Folder.Standby || v.Folder.Major != v.Major || v.Half || in.deps.Ended == nil {
		return v
	}
	c, err := in.control(ctx, in.data())
	if err != nil {
		return v
	}
	v.Timeline = c.newest()
	if v.Fork = in.deps.Ended(v.Timeline); v.Fork != 0 && in.lookForEnd(ctx, c, &v) != nil {
		v.Unreadable = true
	}
	return v
}

// hadTrouble returns why PostgreSQL said that it cannot follow the primary
// from here. Without a word a standby may start before the primary was asked;
// if it cannot follow, PostgreSQL will say so.
func (in *Instance) hadTrouble() trouble {
	select {
	case t := <-in.trouble:
		return t
	default:
		return noTrouble
	}
}

// waitOr waits, but not beyond sooner's closing.
func waitOr(ctx context.Context, d time.Duration, sooner <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-sooner:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (in *Instance) moveAside(sys uint64, why string) error {
	to, err := in.aside(sys)
	if err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(in.rewinding())); err != nil {
		return err
	}
	in.log.Warn("this region's copy cannot follow the primary; it is kept, and the primary's is copied anew",
		"why", why, "kept", to)
	return nil
}
