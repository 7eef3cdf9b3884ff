package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"meridian"
)

// provide takes the steps that Decide names until PostgreSQL can start.
func (in *Instance) provide(ctx context.Context, role Role) error {
	said := ""
	had := in.hadTrouble()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		opened := in.gate.watch()
		v, history, unreached, err := in.look(ctx, role, had)
		if err != nil {
			return err
		}
		step, why := Decide(v)
		if why != said {
			in.log.Info("database folder", "do", string(step), "why", why, "dir", in.data())
			said = why
		}
		in.life.set(func(s *lifeState) { s.step = step })
		switch step {
		case Start:
			return nil
		case Refuse:
			return meridian.WithKind(meridian.Invalid, fmt.Errorf("data folder %s: %s", in.data(), why))
		case Init:
			err = in.initdb(ctx)
		case Clone:
			if err = in.clone(ctx); err != nil && ctx.Err() == nil {
				in.log.Warn("copying the primary failed, trying again", "err", err)
				unreached, err = err, nil
			}
		case Rewind:
			if err = in.rewind(ctx, v, history); meridian.KindOf(err) == meridian.PrimaryUnavailable {
				unreached, err = err, nil
			} else {
				had = noTrouble
			}
		case Aside:
			err = in.moveAside(v.Folder.System, why)
			had = noTrouble
		case Wait:
			if unreached == nil {
				unreached = errors.New(why)
			}
		}
		if err != nil {
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
