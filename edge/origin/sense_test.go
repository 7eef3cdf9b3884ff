package origin

import (
	"testing"
	"time"
)

// answers lets n requests of a class be answered one after the other, each
// after took.
func answers(s *sense, now *time.Time, class, n int, took time.Duration) {
	for range n {
		f := s.begin(class, *now)
		*now = now.Add(took)
		f.end(true, *now)
	}
}

func TestQueueIsWhatExceedsTheUsual(t *testing.T) {
	var s sense
	now := time.Unix(1_000_000, 0)
	answers(&s, &now, 1, 50, 20*time.Millisecond)
	answers(&s, &now, 2, 50, 3*time.Second)
	if q := s.queue(now); q != 0 {
		t.Errorf("queue %v of a fast route and a slow one, want none", q)
	}
	answers(&s, &now, 1, 2, time.Second)
	if q := s.queue(now); q != 0 {
		t.Errorf("queue %v after two outliers, want none", q)
	}
	answers(&s, &now, 1, 1, time.Second)
	if q := s.queue(now); q < 900*time.Millisecond || q > time.Second {
		t.Errorf("queue %v after three of five answers were a second late", q)
	}
	if q := s.queue(now.Add(peakDecay)); q > 400*time.Millisecond {
		t.Errorf("queue %v after its time constant", q)
	}
}

// A pool that stalls answers nothing that could be measured.
func TestQueueCountsWhatIsUnanswered(t *testing.T) {
	var s sense
	now := time.Unix(1_000_000, 0)
	answers(&s, &now, 1, 50, 20*time.Millisecond)
	var flights []*flight
	for range crowd {
		flights = append(flights, s.begin(1, now))
	}
	if q := s.queue(now.Add(20 * time.Millisecond)); q != 0 {
		t.Errorf("queue %v of requests that are not late, want none", q)
	}
	if q := s.queue(now.Add(time.Second)); q != 980*time.Millisecond {
		t.Errorf("queue %v of requests that wait for a second, want 980ms", q)
	}
	for _, f := range flights {
		f.end(false, now.Add(time.Second))
		f.end(false, now.Add(time.Second))
	}
	if s.waiting != 0 || s.begun != 0 || s.usual != 0 || s.queue(now.Add(time.Minute)) != 0 {
		t.Errorf("%d wait, begun %v, usual %v after all ended", s.waiting, s.begun, s.usual)
	}
}

func TestUsualIsThe90thPercentile(t *testing.T) {
	var s sense
	now := time.Unix(1_000_000, 0)
	for i := range 100_000 { // evenly between 0 and 100 ms, one each 250 ms
		f := s.begin(1, now)
		f.end(true, now.Add(time.Duration(i*37%100)*time.Millisecond))
		now = now.Add(usualEvery)
	}
	if u := s.classes[1].usual; u < 86*time.Millisecond || u > 94*time.Millisecond {
		t.Errorf("usual time %v of answers between 0 and 100 ms, want about 90", u)
	}
	if late, ok := s.late(1); !ok || late < 90*time.Millisecond || late > 99*time.Millisecond {
		t.Errorf("late after %v, %t; want about 95 ms", late, ok)
	}
}

func TestClassOfIsTheRouteAndNotTheItem(t *testing.T) {
	same := [][2]string{{"/api/articles/1", "/api/articles/2/comments"}, {"/", "/"}, {"/a", "/a"}}
	for _, s := range same {
		if ClassOf("GET", s[0]) != ClassOf("HEAD", s[1]) {
			t.Errorf("%s and %s are of two classes", s[0], s[1])
		}
	}
	if ClassOf("GET", "/api/articles") == ClassOf("POST", "/api/articles") || ClassOf("GET", "/api/articles") == ClassOf("GET", "/api/users") {
		t.Error("a read and a write, or two routes, are of one class")
	}
}

func BenchmarkSense(b *testing.B) {
	var s sense
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		s.begin(1, now).end(true, now.Add(20*time.Millisecond))
		s.queue(now)
	}
}
