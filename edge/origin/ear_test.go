package origin

import (
	"testing"
	"time"
)

// Silence is a proof within half a second on every path of up to 320 ms, which is
// longer than any between two places on earth. The patience always holds a ping, a
// round trip and a quarter of one more. Without the pace it takes longer.
func TestSilenceIsAProofWithinHalfASecond(t *testing.T) {
	floor, every := 450*time.Millisecond, 150*time.Millisecond
	for rtt := time.Duration(0); rtt <= 320*time.Millisecond; rtt += time.Millisecond {
		pace := Pace(floor, every, rtt)
		patience := Patience(floor, pace, rtt)
		if patience > 500*time.Millisecond || patience < pace+rtt*5/4 || pace < fastest || pace > every {
			t.Errorf("%v: pinged after %v, silent after %v", rtt, pace, patience)
		}
	}
	if Patience(floor, every, 320*time.Millisecond) <= 500*time.Millisecond {
		t.Error("without the pace it is the same: the test shows nothing")
	}
}
