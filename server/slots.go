package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"meridian/postgres/failover"
	"meridian/postgres/instance"
)

// slotRetry is how long a slot that could not be made or dropped is left alone.
const slotRetry = 2 * time.Second

// keepSlots makes the replication slots of this region's PostgreSQL be those of
// the regions of now, on a standby too, and of the region's further standbys.
// Data that was copied or rewound has none.
func (s *steward) keepSlots(ctx context.Context) error {
	want, gone, further := s.slots(), s.goneSlots(), standbysOf(s.world(), s.self.Region)
	is := fmt.Sprint(want, gone, further, s.pg.PID())
	if !s.started.Load() || s.slotted == is || s.state() == failover.Stopped || time.Since(s.slotting) < slotRetry {
		return nil
	}
	s.slotting = time.Now()
	bounded, cancel := context.WithTimeout(ctx, applyBudget)
	defer cancel()
	if err := s.pg.Slots(bounded, want); err != nil {
		return err
	}
	if err := s.pg.DropSlots(bounded, gone); err != nil {
		return err
	}
	if err := s.pg.FurtherSlots(bounded, further); err != nil {
		return err
	}
	s.slotted = is
	return nil
}

// goneSlots names the slots of regions that left.
func (s *steward) goneSlots() (out []string) {
	kept := s.slots()
	for _, r := range s.left() {
		if name := instance.Slot(r); r != s.self.Region && !slices.Contains(kept, name) {
			out = append(out, name)
		}
	}
	return out
}
