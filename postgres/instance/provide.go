package instance

import (
	"context"
	"fmt"

	"meridian"
)

// provide takes the steps that Decide names until PostgreSQL can start.
func (in *Instance) provide(ctx context.Context, role Role) error {
	said := ""
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		folder, err := inspect(in.data())
		if err != nil {
			return err
		}
		v := View{Folder: folder, Role: role, Major: in.bin.Major()}
		var unreached error
		if role == Standby && !in.quick(folder) {
			v.Upstream, unreached = in.ask(ctx)
		}
		step, why := Decide(v)
		if why != said {
			in.log.Info("database folder", "do", string(step), "why", why, "dir", in.data())
			said = why
		}
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
		case Aside:
			err = in.moveAside(folder.System, why)
		}
		if err != nil {
			return err
		}
		if unreached != nil {
			in.log.Debug("primary not reached yet", "err", unreached)
			if err := wait(ctx, pause); err != nil {
				return err
			}
		}
	}
}

// quick reports whether a standby may start before the primary was asked:
// reads must not wait for it. If the primary turns out to have another
// database, PostgreSQL says so and foreign brings us back here.
func (in *Instance) quick(f Folder) bool {
	select {
	case <-in.foreign:
		return false
	default:
		return f.Exists && f.Standby
	}
}

func (in *Instance) moveAside(sys uint64, why string) error {
	to, err := in.aside(sys)
	if err != nil {
		return err
	}
	in.log.Warn("this region's copy is of another database; it is kept, and the primary's is copied anew",
		"why", why, "kept", to)
	return nil
}
