package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian"
	"meridian/gateway"
)

const (
	internalError = `{"message":"Internal Server Error"}`
	unavailable   = `{"message":"Service Unavailable"}`
)

func TestErrorsHaveTheDocumentedCodeAndBody(t *testing.T) {
	for _, tt := range []struct {
		kind   meridian.Kind
		status int
		body   string
	}{
		{meridian.Internal, 500, internalError},
		{meridian.Crashed, 500, internalError},
		{meridian.Malformed, 500, internalError},
		{meridian.Timeout, 503, unavailable},
		{meridian.Unavailable, 503, unavailable},
		{meridian.Throttled, 429, `{"message":"Too Many Requests"}`},
		{meridian.TooLarge, 413, `{"message":"Request Entity Too Large"}`},
		{meridian.Invalid, 400, `{"message":"Bad Request"}`},
		{meridian.NotFound, 404, notFound},
		{meridian.PrimaryUnavailable, 503, `{"message":"Service Unavailable","reason":"the primary region is unavailable"}`},
		{"a kind of tomorrow", 500, internalError},
	} {
		w := newWorld(t, fails(meridian.WithKind(tt.kind, errors.New("secret detail"))), nil)
		a := w.ask(w.public, "GET", "/pets", "")
		a.want(t, tt.status, tt.body)
		a.header(t, "Content-Type", "application/json")
	}
}

func TestAMalformedOutputIsA500(t *testing.T) {
	for _, out := range []string{``, `{`, `{"statusCode":99}`, `{"statusCode":101}`, `{"statusCode":"x"}`, `{"statusCode":200,"body":{}}`,
		`{"statusCode":200,"isBase64Encoded":true,"body":"?"}`, `{"statusCode":200,"headers":{"a b":"c"}}`, `{"statusCode":200,"headers":{"a":"b\r\nc: d"}}`,
		`{"statusCode":200,"body":"` + strings.Repeat("x", 6<<20) + `"}`} {
		w := newWorld(t, always(out, meridian.Observation{}), nil)
		w.ask(w.public, "GET", "/pets", "").want(t, 500, internalError)
	}
}

func TestAnOutputWithoutStatusIsTheBody(t *testing.T) {
	for _, out := range []string{`{"a":1}`, `[1,2]`, `"text"`, `null`} {
		w := newWorld(t, always(out, meridian.Observation{}), nil)
		a := w.ask(w.public, "GET", "/pets", "")
		a.want(t, 200, out)
		a.header(t, "Content-Type", "application/json")
		w.ask(w.public, "GET", "/old/x", "").want(t, 500, internalError) // format 1.0 infers nothing
	}
}

func TestAnOutputThatBreaksOffIsAnError(t *testing.T) {
	fns := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		late := meridian.WithKind(meridian.Crashed, errors.New("exit status 2"))
		return meridian.Answer{Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"statusCode":200}`), broken{late}))}, nil
	}}
	w := newWorld(t, fns, nil)
	w.ask(w.public, "GET", "/pets", "").want(t, 500, internalError)
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestAFunctionCannotWriteReservedHeaders(t *testing.T) {
	out := `{"statusCode":200,"headers":{"Connection":"close, X-Hop","X-Hop":"1","Transfer-Encoding":"chunked","Content-Length":"3","meridian-region":"nowhere",
		"MERIDIAN-CONSISTENCY":"x","apigw-requestid":"x","Upgrade":"h2c","X-Fine":"1","Set-Cookie":"Meridian-Consistency=x"},"cookies":["Meridian-Consistency=y","a=b"],"body":"hello"}`
	w := newWorld(t, always(out, meridian.Observation{}), nil)
	a := w.ask(w.public, "GET", "/pets", "")
	a.want(t, 200, "hello")
	for name, want := range map[string]string{"X-Fine": "1", "X-Hop": "", "Meridian-Region": "eu-west-1", "Meridian-Consistency": "",
		"Upgrade": "", "Set-Cookie": "a=b", "Apigw-Requestid": w.fns.last(t).ID, "Content-Length": "5"} {
		a.header(t, name, want)
	}
}

func TestAnswersWithoutABodyHaveNone(t *testing.T) {
	for _, status := range []string{"204", "304"} {
		w := newWorld(t, always(`{"statusCode":`+status+`,"body":"ignored"}`, meridian.Observation{}), nil)
		w.ask(w.public, "GET", "/pets", "").header(t, "Content-Length", "")
	}
	w := newWorld(t, always(`{"statusCode":200,"body":"hello"}`, meridian.Observation{}), func(c *gateway.Config, _ *gateway.Deps) {
		c.API = []byte(strings.Replace(api, "post: {}", "head: {}", 1))
	})
	a := w.ask(w.public, "HEAD", "/pets", "")
	a.want(t, 200, "")
	a.header(t, "Content-Length", "5")
}

func TestTheDeadlineIsTheLeastPatience(t *testing.T) {
	blocked := &functions{answer: func(ctx context.Context, in meridian.Invocation) (meridian.Answer, error) {
		if d, ok := ctx.Deadline(); !ok || !d.Equal(in.Deadline) {
			return says(`{"statusCode":200,"body":"no deadline"}`), nil
		}
		<-ctx.Done()
		return meridian.Answer{}, ctx.Err()
	}}
	w := newWorld(t, blocked, nil)
	w.ask(w.public, "GET", "/slow", "").want(t, 503, unavailable)
	w.ask(w.inner, "GET", "/pets", "", "Meridian-Time-Left", "20").want(t, 503, unavailable)
	w.ask(w.inner, "GET", "/pets", "", "Meridian-Time-Left", "-5").want(t, 503, unavailable)

	left := func(door string, extra ...string) time.Duration {
		w := newWorld(t, &functions{}, nil)
		before := time.Now()
		if door == "inner" {
			w.ask(w.inner, "GET", "/pets", "", extra...)
		} else {
			w.ask(w.public, "GET", "/pets", "", extra...)
		}
		return w.fns.last(t).Deadline.Sub(before).Round(time.Second)
	}
	for _, got := range []struct {
		name       string
		have, want time.Duration
	}{
		{"the function's timeout", left("public"), 5 * time.Second},
		{"the edge's patience", left("inner", "Meridian-Time-Left", "3000"), 3 * time.Second},
		{"an edge that is more patient", left("inner", "Meridian-Time-Left", "60000"), 5 * time.Second},
		{"a stranger's header", left("public", "Meridian-Time-Left", "1000"), 5 * time.Second},
		{"a header that is no number", left("inner", "Meridian-Time-Left", "soon"), 5 * time.Second},
	} {
		if got.have != got.want {
			t.Errorf("%s: %v left, want %v", got.name, got.have, got.want)
		}
	}
}

func TestACallerWhoGoesAwayCancelsTheInvocation(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	w := newWorld(t, &functions{answer: func(ctx context.Context, _ meridian.Invocation) (meridian.Answer, error) {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return meridian.Answer{}, ctx.Err()
	}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", w.inner.URL+"/pets", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := w.inner.Client().Do(r); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the invocation ended by %v", err)
	}
	<-done
}

func TestLimits(t *testing.T) {
	w := newWorld(t, &functions{}, func(c *gateway.Config, _ *gateway.Deps) {
		c.Limits = gateway.Limits{Header: 2000, Body: 8 << 20}
	})
	tooLarge := `{"message":"Request Entity Too Large"}`
	w.ask(w.public, "POST", "/pets", strings.Repeat("x", 8<<20+1)).want(t, 413, tooLarge)
	w.ask(w.public, "POST", "/pets", strings.Repeat("x", 5<<20)).want(t, 413, tooLarge) // as base64 the event is over 6 MiB
	w.ask(w.public, "POST", "/pets", strings.Repeat("x", 5<<20), "Content-Type", "text/plain").want(t, 200, "")
	w.ask(w.public, "GET", "/pets", "", "X-Long", strings.Repeat("x", 2000)).want(t, 431, `{"message":"Request Header Fields Too Large"}`)
	w.ask(w.public, "GET", "/pets?"+strings.Repeat("x", 2000), "").want(t, 431, "")
	w.ask(w.inner, "GET", "/pets", "", "Meridian-Identity", strings.Repeat("x", 2000)).want(t, 200, "") // added by the edge
}

func TestABodyOfUnknownLengthIsBoundedToo(t *testing.T) {
	w := newWorld(t, &functions{}, func(c *gateway.Config, _ *gateway.Deps) { c.Limits.Body = 100_000 })
	for n, want := range map[int]int{0: 200, 1: 200, 100_000: 200, 100_001: 413} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.inner.URL+"/pets", io.MultiReader(strings.NewReader(strings.Repeat("x", n))))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		res, err := w.inner.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", n, res.StatusCode, want)
		}
	}
}

// The budget holds while a function runs and is whole again afterwards.
func TestBodiesInFlightHaveABudget(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	fns := &functions{answer: func(context.Context, meridian.Invocation) (meridian.Answer, error) {
		entered <- struct{}{}
		<-release
		return meridian.Answer{}, nil
	}}
	w := newWorld(t, fns, func(c *gateway.Config, _ *gateway.Deps) { c.Limits.InFlight = 1000 })
	first := make(chan int)
	hold := func() {
		res, err := http.Post(w.inner.URL+"/pets", "text/plain", strings.NewReader(strings.Repeat("x", 900)))
		if err != nil {
			t.Error(err)
			first <- 0
			return
		}
		res.Body.Close()
		first <- res.StatusCode
	}
	go hold()
	<-entered
	w.ask(w.inner, "POST", "/pets", strings.Repeat("x", 200)).want(t, 503, unavailable)
	release <- struct{}{}
	<-first
	go hold()
	<-entered
	release <- struct{}{}
	<-first
}
