package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"

	"meridian/postgres/wire"
)

func TestFramesSurviveAnySegmentation(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	stream := wire.Builder(nil).Query("select 1").Sync().Query(big).Query("").Sync()
	for name, src := range map[string]io.Reader{
		"whole":        bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"half reads":   iotest.HalfReader(bytes.NewReader(stream)),
	} {
		var got []byte
		r := wire.NewReader(src)
		for {
			f, err := r.Frame()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, f...)
		}
		if !bytes.Equal(got, stream) {
			t.Errorf("%s: %d bytes came out of %d", name, len(got), len(stream))
		}
	}
}

func TestOverlongFrameIsRefusedBeforeItArrives(t *testing.T) {
	r := wire.NewReader(strings.NewReader("Q\x7f\xff\xff\xff"))
	r.Limit = 1 << 16
	if _, err := r.Frame(); !errors.Is(err, wire.ErrProtocol) {
		t.Errorf("got %v, want a protocol violation", err)
	}
}

func TestStartupRoundTrip(t *testing.T) {
	want := []wire.Param{{Name: "user", Value: "conduit.env-1"}, {Name: "application_name", Value: ""}}
	raw := wire.Builder(nil).Startup(want)
	s, err := wire.ReadStartup(wire.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, s.Params); d != "" || s.Major() != 3 || s.Minor() != 0 {
		t.Errorf("version %d.%d, params differ:\n%s", s.Major(), s.Minor(), d)
	}
}

func TestCancelKeysMayBeLong(t *testing.T) {
	want := wire.Key{PID: 7, Secret: strings.Repeat("k", 256)}
	s, err := wire.ReadStartup(wire.NewReader(bytes.NewReader(wire.Builder(nil).CancelRequest(want))))
	if err != nil || s.Cancel != want {
		t.Errorf("got %v, %v", s, err)
	}
}

// TestScram logs in with a client of the library's own, and fails with a wrong
// password.
func TestScram(t *testing.T) {
	v, err := wire.NewVerifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"secret": true, "wrong": false} {
		client, err := scram.SHA256.NewClient("", password, "")
		if err != nil {
			t.Fatal(err)
		}
		conv := client.NewConversation()
		first, _ := conv.Step("")
		in, send := io.Pipe()
		done := make(chan struct{})
		write := func(b []byte) error {
			switch f := wire.Frame(b); f.Body()[3] {
			case 10:
				body := append(wire.String("SCRAM-SHA-256"), 0, 0, 0, byte(len(first)))
				go send.Write(wire.Builder(nil).Message('p', body, []byte(first)))
			case 11:
				next, err := conv.Step(string(f.Body()[4:]))
				if err != nil {
					return err
				}
				go send.Write(wire.Builder(nil).Message('p', []byte(next)))
			case 12:
				_, err := conv.Step(string(f.Body()[4:]))
				close(done)
				return err
			}
			return nil
		}
		err = wire.Authenticate(wire.NewReader(in), write, v, wire.Binding{})
		if (err == nil) != want {
			t.Errorf("password %q: %v", password, err)
		}
		if want {
			<-done
			if !conv.Valid() {
				t.Error("the client does not believe the server")
			}
		}
	}
}

// FuzzFrame checks that a stream of strangers' bytes is split without loss, or
// refused.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(wire.Builder(nil).Query("select 1").Sync()))
	f.Add([]byte("Q\x00\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := wire.NewReader(iotest.HalfReader(bytes.NewReader(in)))
		r.Limit = 1 << 20
		var got []byte
		for {
			fr, err := r.Frame()
			if err != nil {
				break
			}
			got = append(got, fr...)
			wire.ParseQuery(fr.Body())
			wire.ParseParse(fr.Body())
			wire.ParseBind(fr.Body())
			wire.ParseTarget(fr.Body())
			wire.ParseExecute(fr.Body())
			wire.ParseError(fr.Body())
			wire.ParseParameter(fr.Body())
			wire.Row(fr.Body())
			wire.ParsePosition(fr.Body())
			wire.ParseProbe(fr.Body())
		}
		if !bytes.HasPrefix(in, got) {
			t.Errorf("frames %q are no prefix of %q", got, in)
		}
	})
}

// FuzzStartup checks that a start-up packet that is taken can be written again.
func FuzzStartup(f *testing.F) {
	f.Add([]byte(wire.Builder(nil).Startup([]wire.Param{{Name: "user", Value: "a"}})))
	f.Add([]byte(wire.Builder(nil).CancelRequest(wire.Key{PID: 1, Secret: "abcd"})))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := wire.ReadStartup(wire.NewReader(bytes.NewReader(in)))
		if err != nil || s.Major() != 3 {
			return
		}
		again, err := wire.ReadStartup(wire.NewReader(bytes.NewReader(wire.Builder(nil).Startup(s.Params))))
		if err != nil || cmp.Diff(s.Params, again.Params) != "" {
			t.Errorf("%q: %v", in, err)
		}
	})
}

// FuzzAuthenticate: whatever a client that does not know the password sends as its two
// messages, it is refused, and by no more than the server's two.
func FuzzAuthenticate(f *testing.F) {
	v, err := wire.NewVerifier("secret")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("SCRAM-SHA-256\x00\x00\x00\x00\x08n,,n=,r=x"), []byte("c=biws,r=x,p="))
	f.Add([]byte("SCRAM-SHA-256-PLUS\x00\x00\x00\x00\x08p=tls-server-end-point,,n=,r=x"), []byte("c=biws,r=,p=AA=="))
	f.Add([]byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"), []byte{})
	f.Add([]byte("SCRAM-SHA-256\x00\x00\x00\x00\x08y,a=b,n=,r=,m=x"), []byte("c=,,r=x"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		in := wire.Builder(nil).Message('p', first).Message('p', second)
		said := 0
		err := wire.Authenticate(wire.NewReader(bytes.NewReader(in)), func([]byte) error { said++; return nil }, v, wire.Binding{})
		if err == nil || said > 2 {
			t.Errorf("%q, %q: %v after %d messages", first, second, err, said)
		}
	})
}
