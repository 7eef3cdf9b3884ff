package main

import (
	"testing"
	"time"

	"meridian/server"
)

func TestTheMomentToRestoreTo(t *testing.T) {
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]server.Moment{
		"":                          {},
		"0/3000148":                 {LSN: 0x3000148},
		"1/2":                       {LSN: 1<<32 + 2},
		"2026-11-25T12:00:00Z":      {Time: noon},
		"2026-11-25T13:00:00+01:00": {Time: noon},
	} {
		if got, err := target(text); err != nil || got.LSN != want.LSN || !got.Time.Equal(want.Time) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"noon", "0/0", "2026-11-25", "2026-11-25 12:00:00", "-1/2"} {
		if got, err := target(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}
