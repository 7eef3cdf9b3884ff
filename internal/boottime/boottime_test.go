package boottime_test

import (
	"testing"
	"time"

	"meridian/internal/boottime"
)

func TestNeverGoesBack(t *testing.T) {
	began, last := time.Now(), boottime.Now()
	first := last
	for range 10000 {
		now := boottime.Now()
		if now < last {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
	if spent := time.Since(began); last-first > spent {
		t.Errorf("%v passed in %v", last-first, spent)
	}
}
