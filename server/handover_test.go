package server

import (
	"testing"
	"time"

	"meridian/config"
)

// TestWhichNodesOverlap lists who may run in two processes at once.
func TestWhichNodesOverlap(t *testing.T) {
	for _, x := range []struct {
		roles []config.Role
		disk  config.Size
		want  bool
	}{
		{[]config.Role{config.RoleEdge}, 0, true},
		{[]config.Role{config.RoleControl}, 0, true},
		{[]config.Role{config.RoleEdge, config.RoleControl}, 0, true},
		{[]config.Role{config.RoleEdge}, 1 << 30, false},
		{[]config.Role{config.RoleControl}, 1 << 30, true},
		{[]config.Role{config.RoleRegion}, 0, false},
		{[]config.Role{config.RoleRegion, config.RoleEdge, config.RoleControl}, 0, false},
		{[]config.Role{config.RoleStandby}, 0, false},
		{[]config.Role{config.RoleWitness}, 0, false},
	} {
		f := &config.File{}
		f.Limits.CacheDisk = x.disk
		if got, why := overlaps(config.Node{Roles: x.roles}, f); got != x.want || got != (why == "") {
			t.Errorf("%v, %d bytes on disk: %v, %q", x.roles, x.disk, got, why)
		}
	}
}

// TestHowLongAnEdgeThatStopsGoesOn is until nobody is sent to it any more.
func TestHowLongAnEdgeThatStopsGoesOn(t *testing.T) {
	for _, x := range []struct {
		ttl    time.Duration
		others int
		want   time.Duration
	}{
		{5 * time.Second, 2, 6 * time.Second},
		{time.Second, 1, 2 * time.Second},
		{time.Hour, 2, longestFarewell},
		{5 * time.Second, 0, 0},
	} {
		if got, why := farewell(x.ttl, x.others); got != x.want || why == "" {
			t.Errorf("TTL %v, %d others: %v, %q", x.ttl, x.others, got, why)
		}
	}
}
