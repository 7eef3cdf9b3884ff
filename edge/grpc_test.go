package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"meridian/edge/origin"
)

// rawCodec sends messages as the bytes that they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "raw" }

// A callee serves gRPC, one method for each kind of call.
type callee struct {
	canceled chan error // how calls to wait ended
	deadline chan bool  // whether they had a deadline
}

// desc describes the service to the library, which would generate it.
func (s *callee) desc() *grpc.ServiceDesc {
	unary := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := decode(&in); err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		grpc.SetHeader(ctx, metadata.Pairs("x-head", "h"))
		grpc.SetTrailer(ctx, metadata.Pairs("x-tail-bin", "\x00\xff"))
		switch string(in) {
		case "fail":
			return nil, status.Error(codes.NotFound, "nothing: 100% of ünïcode")
		case "wait":
			_, ok := ctx.Deadline()
			s.deadline <- ok
			<-ctx.Done()
			s.canceled <- ctx.Err()
			return nil, ctx.Err()
		}
		out := []byte(string(in) + " from " + strings.Join(md.Get("x-who"), ","))
		return &out, nil
	}
	stream := func(name string, client, server bool, serve func(grpc.ServerStream) error) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ClientStreams: client, ServerStreams: server, Handler: func(_ any, st grpc.ServerStream) error { return serve(st) }}
	}
	return &grpc.ServiceDesc{
		ServiceName: "t.T", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams: []grpc.StreamDesc{
			stream("Down", false, true, func(st grpc.ServerStream) error {
				var in []byte
				if err := st.RecvMsg(&in); err != nil {
					return err
				}
				for _, word := range strings.Fields(string(in)) {
					out := []byte(word)
					if err := st.SendMsg(&out); err != nil {
						return err
					}
				}
				st.SetTrailer(metadata.Pairs("x-words", "sent"))
				return nil
			}),
			stream("Up", true, false, func(st grpc.ServerStream) error {
				var all, in []byte
				for {
					switch err := st.RecvMsg(&in); {
					case err == io.EOF:
						return st.SendMsg(&all)
					case err != nil:
						return err
					}
					all = append(all, in...)
				}
			}),
			stream("Both", true, true, func(st grpc.ServerStream) error {
				for {
					var in []byte
					switch err := st.RecvMsg(&in); {
					case err == io.EOF:
						return status.Error(codes.DataLoss, "the end")
					case err != nil:
						return err
					}
					if err := st.SendMsg(&in); err != nil {
						return err
					}
				}
			}),
		},
	}
}

// calling starts a gRPC origin, over TLS or over plain HTTP/2, a world that sends
// /t.T/* there, and a client of its edge.
func calling(t *testing.T, overTLS bool, opts ...option) (*world, *callee, *grpc.ClientConn, origin.CustomConfig) {
	s := &callee{make(chan error, 1), make(chan bool, 1)}
	var so []grpc.ServerOption
	o := origin.CustomConfig{Name: "calls", H2C: !overTLS, URL: &url.URL{Scheme: "http"}}
	if overTLS {
		leaf, roots := certificate(t, "localhost")
		so = append(so, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{leaf}})))
		o.URL.Scheme, o.Roots = "https", roots
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	o.URL.Host = "localhost:" + port
	srv := grpc.NewServer(append(so, grpc.ForceServerCodec(rawCodec{}))...)
	srv.RegisterService(s.desc(), s)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, append([]option{behaviors(o, Behavior{Path: "/t.T/*", Origin: "calls"})}, opts...)...)
	return w, s, w.grpc(), o
}

// grpc returns a client of the edge.
func (w *world) grpc() *grpc.ClientConn {
	https, _ := w.Addrs()
	cc, err := grpc.NewClient("passthrough:///"+domain, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.roots})),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", https.String())
		}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cc.Close() })
	return cc
}

func unary(ctx context.Context, cc *grpc.ClientConn, text string, opts ...grpc.CallOption) (string, error) {
	in, out := []byte(text), []byte(nil)
	err := cc.Invoke(ctx, "/t.T/Unary", &in, &out, opts...)
	return string(out), err
}

func TestAllKindsOfCallsPass(t *testing.T) {
	for name, overTLS := range map[string]bool{"TLS": true, "h2c": false} {
		t.Run(name, func(t *testing.T) {
			w, _, cc, _ := calling(t, overTLS)
			var head, tail metadata.MD
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-who", "me")
			if out, err := unary(ctx, cc, "hello", grpc.Header(&head), grpc.Trailer(&tail)); err != nil || out != "hello from me" {
				t.Fatalf("%q, %v\n%s", out, err, w.log)
			}
			if head.Get("x-head")[0] != "h" || len(tail.Get("x-tail-bin")) != 1 || tail.Get("x-tail-bin")[0] != "\x00\xff" {
				t.Errorf("head %v, tail %v", head, tail)
			}
			if _, err := unary(ctx, cc, "fail"); status.Code(err) != codes.NotFound || status.Convert(err).Message() != "nothing: 100% of ünïcode" {
				t.Errorf("an error: %v", err)
			}
			in, out := []byte(nil), []byte(nil)
			if err := cc.Invoke(ctx, "/t.T/None", &in, &out); status.Code(err) != codes.Unimplemented { // trailers, and nothing else
				t.Errorf("no such method: %v", err)
			}
			w.until("logged", func() bool {
				return strings.Contains(w.log.String(), "grpc_status=5") && strings.Contains(w.log.String(), "grpc_status=0")
			})

			down, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/t.T/Down")
			if err != nil {
				t.Fatal(err)
			}
			in = []byte("one two three")
			down.SendMsg(&in)
			down.CloseSend()
			for _, want := range []string{"one", "two", "three", ""} {
				var out []byte
				if err := down.RecvMsg(&out); string(out) != want || (err == io.EOF) != (want == "") {
					t.Errorf("down: %q, %v; want %q", out, err, want)
				}
			}
			if down.Trailer().Get("x-words") == nil {
				t.Errorf("down: trailers %v", down.Trailer())
			}

			up, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/t.T/Up")
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"a", "b", "c"} {
				in := []byte(word)
				up.SendMsg(&in)
			}
			up.CloseSend()
			if err := up.RecvMsg(&out); err != nil || string(out) != "abc" {
				t.Errorf("up: %q, %v", out, err)
			}
		})
	}
}

// Both ends send much more than any window or buffer holds, at the same time;
// more than a request's body may have; and the status comes last.
func TestACallStreamsBothWaysAtOnce(t *testing.T) {
	w, _, cc, _ := calling(t, true, func(c *Config, _ *Deps, _ *world) { c.Limits.Body = 1 << 20 })
	st, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/t.T/Both")
	if err != nil {
		t.Fatal(err)
	}
	message := bytes.Repeat([]byte("0123456789abcdef"), 4096) // 64 KiB
	const times = 256
	var sender sync.WaitGroup
	defer sender.Wait()
	sender.Go(func() {
		for range times {
			if st.SendMsg(&message) != nil {
				return
			}
		}
		st.CloseSend()
	})
	for i := range times {
		var out []byte
		if err := st.RecvMsg(&out); err != nil || !bytes.Equal(out, message) {
			t.Fatalf("message %d: %d bytes, %v\n%s", i, len(out), err, w.log)
		}
	}
	var out []byte
	if err := st.RecvMsg(&out); status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "the end" {
		t.Errorf("the end: %v", err)
	}
	// Control: what is no call has the limit.
	if got := w.do("POST", "/t.T/Both", strings.Repeat("x", 1<<20+1), "Content-Type", "application/octet-stream"); got.status != 413 {
		t.Errorf("a body that is no call: %d", got.status)
	}
}

func TestDeadlinesAndCancelsReachTheServer(t *testing.T) {
	_, s, cc, _ := calling(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := unary(ctx, cc, "wait"); done <- err }()
	if <-s.deadline {
		t.Error("a deadline that nobody set")
	}
	cancel()
	if err := <-s.canceled; !errors.Is(err, context.Canceled) {
		t.Errorf("the server heard %v", err)
	}
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	go func() { _, err := unary(ctx, cc, "wait"); done <- err }()
	if !<-s.deadline {
		t.Error("the deadline did not come")
	}
	<-s.canceled
	if err := <-done; status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}

// A stream of calls may begin to answer when it likes; a request may not.
func TestAQuietCallIsWaitedFor(t *testing.T) {
	w, _, cc, _ := calling(t, false, func(c *Config, _ *Deps, _ *world) {
		c.Timeouts.FirstByte, c.Origins[0].ResponseTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	st, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/t.T/Both")
	if err != nil {
		t.Fatal(err)
	}
	w.regions["eu-west-1"].serve = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	if got := w.do("GET", "/slow", ""); got.status != 504 { // as long as that takes, at least
		t.Errorf("%d", got.status)
	}
	in, out := []byte("late"), []byte(nil)
	if err := st.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	if err := st.RecvMsg(&out); err != nil || string(out) != "late" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTheEdgesOwnAnswersAreStatusesToACall(t *testing.T) {
	w, _, _, o := calling(t, false)
	gone := o
	gone.Name, gone.URL = "gone", &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	w.stop()
	w = newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) {
		c.Origins = []origin.CustomConfig{gone}
		c.Behaviors = []Behavior{{Path: "/t.T/*", Origin: "gone", Methods: []string{"POST"}}}
	})
	cc := w.grpc()
	if _, err := unary(t.Context(), cc, "x"); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "The origin could not be reached." {
		t.Errorf("%v", err)
	}
	for _, tt := range []struct{ method, path, kind, want string }{
		{"GET", "/t.T/x", "application/grpc", "12"},
		{"POST", "/t.T/x", "application/grpc-web+proto", "14"},
		{"POST", "/t.T/x", "application/grpcx", ""},
	} {
		got := w.do(tt.method, tt.path, "", "Content-Type", tt.kind)
		if got.header.Get("Grpc-Status") != tt.want || (got.status == 200) != (tt.want != "") {
			t.Errorf("%s %s: %d %v", tt.method, tt.kind, got.status, got.header)
		}
	}
}

// A call that had begun hears by a status what became of its origin.
func TestACallThatBreaksOffHasAStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		lost bool // the connection; else the stream is reset
		want codes.Code
	}{"the origin is lost": {true, codes.Unavailable}, "the origin resets the call": {false, codes.Internal}} {
		end := make(chan bool)
		s, o := stranger(t, true, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			io.WriteString(w, "\x00\x00\x00\x00\x02hi")
			http.NewResponseController(w).Flush()
			select {
			case <-end:
				panic(http.ErrAbortHandler)
			case <-r.Context().Done():
			}
		})
		w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
		st, err := w.grpc().NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/t.T/Down")
		if err != nil {
			t.Fatal(err)
		}
		var in, out []byte
		if err := errors.Join(st.SendMsg(&in), st.CloseSend(), st.RecvMsg(&out)); err != nil || string(out) != "hi" {
			t.Fatalf("%s: %q, %v", name, out, err)
		}
		if tt.lost {
			s.CloseClientConnections()
		} else {
			end <- true
		}
		if err := st.RecvMsg(&out); status.Code(err) != tt.want || status.Convert(err).Message() != "The origin broke off before the call had ended." {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
		w.until("logged", func() bool { return strings.Contains(w.log.String(), "grpc_status=") })
	}
}

// What an origin says that is no gRPC passes: a client makes a status of it by
// the protocol's own table, and says what it met. The edge cannot know more.
func TestAnAnswerThatIsNoGRPCIsTheClientsToRead(t *testing.T) {
	_, o := stranger(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/t.T/a": 200, "/t.T/b": 401, "/t.T/c": 503, "/t.T/d": 404}[r.URL.Path])
		io.WriteString(w, "a page")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	cc := w.grpc()
	for path, want := range map[string]codes.Code{"/t.T/a": codes.Unknown, "/t.T/b": codes.Unauthenticated, "/t.T/c": codes.Unavailable, "/t.T/d": codes.Unimplemented} {
		in, out := []byte("x"), []byte(nil)
		if err := cc.Invoke(t.Context(), path, &in, &out); status.Code(err) != want || !strings.Contains(err.Error(), "text/plain") {
			t.Errorf("%s: %v; want %v", path, err, want)
		}
	}
}

func TestGRPCWebPassesAsItIs(t *testing.T) {
	const frames = "\x00\x00\x00\x00\x02hi\x80\x00\x00\x00\x0fgrpc-status: 0\r\n"
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, string(body)+frames)
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
		got, err := w.try(c, "POST", "/t.T/x", "\x00\x00\x00\x00\x01x", "Content-Type", "application/grpc-web+proto", "Accept-Encoding", "gzip")
		if err != nil || got.body != "\x00\x00\x00\x00\x01x"+frames || got.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %q %v %v", name, got.body, got.header, err)
		}
	}
}

func TestGRPCTimeouts(t *testing.T) {
	for s, want := range map[string]time.Duration{"1H": time.Hour, "5M": 5 * time.Minute, "3S": 3 * time.Second, "20m": 20 * time.Millisecond, "7u": 7 * time.Microsecond, "9n": 9, "99999999H": patience, "0S": 0} {
		if d, ok := grpcTimeout(s); !ok || d != want {
			t.Errorf("%s: %v %v", s, d, ok)
		}
	}
	for _, s := range []string{"", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S"} {
		if d, ok := grpcTimeout(s); ok {
			t.Errorf("%q: %v", s, d)
		}
	}
}
