package handover_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mirror answers /events with events, /both with what comes as it comes, /sum with how
// much came, and all else as here does.
func mirror(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	switch r.URL.Path {
	case "/both":
		control.EnableFullDuplex()
		w.Header().Set("Trailer", "X-End")
		control.Flush()
		for buf := make([]byte, 1<<10); ; {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			control.Flush()
			if err == io.EOF {
				w.Header().Set("X-End", "whole")
				return
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	case "/sum":
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, n)
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for range 1000 {
			fmt.Fprintf(w, "data: tick\n\n")
			if control.Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	default:
		here(w, r)
	}
}

// A begun exchange is under way at a restart. goes says what keeps it from going on, and
// ends from ending well.
type begun struct {
	name       string
	goes, ends func() error
}

// both begins a request whose body comes back as it is written.
func (s *site) both(name string, c *http.Client) begun {
	c.Timeout = 0
	from, to := io.Pipe()
	req, _ := http.NewRequestWithContext(s.t.Context(), "POST", "https://"+domain+"/both", from)
	var resp *http.Response
	var err error
	got := make(chan struct{})
	go func() { defer close(got); resp, err = c.Do(req) }()
	fmt.Fprintln(to, "first")
	<-got
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	s.t.Cleanup(func() { to.Close(); resp.Body.Close() })
	lines, n := bufio.NewReader(resp.Body), 0
	if _, err := lines.ReadString('\n'); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return begun{name + ", both ways", func() error {
		n++
		text := fmt.Sprintln("line", n)
		if _, err := io.WriteString(to, text); err != nil {
			return err
		}
		back, err := lines.ReadString('\n')
		if err == nil && back != text {
			err = fmt.Errorf("%q for %q", back, text)
		}
		return err
	}, func() error {
		to.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 || resp.Trailer.Get("X-End") != "whole" {
			return fmt.Errorf("%q, %v, trailer %v", rest, err, resp.Trailer)
		}
		return nil
	}}
}

// upload begins a body.
func (s *site) upload(name string, c *http.Client) begun {
	c.Timeout = 0
	from, to := io.Pipe()
	req, _ := http.NewRequestWithContext(s.t.Context(), "POST", "https://"+domain+"/sum", from)
	var resp *http.Response
	var err error
	var all sync.WaitGroup
	all.Go(func() { resp, err = c.Do(req) })
	s.t.Cleanup(func() { to.Close() })
	n := 0
	more := func() error {
		k, err := to.Write(make([]byte, 300<<10)) // more than any buffer on its way
		n += k
		return err
	}
	if err := more(); err != nil {
		s.t.Fatal(err)
	}
	return begun{name + ", an upload", more, func() error {
		to.Close()
		all.Wait()
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != fmt.Sprint(n) {
			return fmt.Errorf("%s: %q of %d bytes, %v", resp.Status, b, n, err)
		}
		return nil
	}}
}

// events begins a stream of events.
func (s *site) events(name string, c *http.Client) begun {
	c.Timeout = 0
	resp, err := c.Get("https://" + domain + "/events")
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	next := func() error {
		for range 20 {
			if !lines.Scan() {
				return fmt.Errorf("it ended: %v", lines.Err())
			}
		}
		return nil
	}
	if err := next(); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return begun{name + ", events", next, next}
}

// TestWhatWasBegunGoesOnOverARestart restarts an edge twice while bodies, events and
// streams both ways are under way over each protocol. All go on in the process that has
// them, and end well.
func TestWhatWasBegunGoesOnOverARestart(t *testing.T) {
	s := newSite(t, twoNodes, "limits: {drain: 5m, minimumRateGrace: 5m}", mirror)
	s.up()
	p := s.procs["us-east-1/edge"]
	two := func() *http.Client {
		c := s.client()
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = true
		return c
	}
	var all []begun
	for round := range 2 {
		for name, client := range map[string]func() *http.Client{"HTTP/1.1": s.client, "HTTP/2": two, "HTTP/3": s.client3} {
			kinds := []func(string, *http.Client) begun{s.upload, s.events}
			if name != "HTTP/1.1" { // net/http's own client holds back there what is short
				kinds = append(kinds, s.both)
			}
			for _, begin := range kinds {
				all = append(all, begin(fmt.Sprintf("round %d, %s", round, name), client()))
			}
		}
		p.cmd.Process.Signal(syscall.SIGUSR2)
		p.restarts(t, round+1)
		for _, b := range all {
			if err := b.goes(); err != nil {
				t.Errorf("after restart %d, %s: %v", round+1, b.name, err)
			}
		}
	}
	for _, b := range all {
		if err := b.ends(); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}
