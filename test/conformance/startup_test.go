package main

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// message is a startup message, or what may come in its place.
func message(code uint32, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return string(binary.BigEndian.AppendUint32(b, code)) + rest
}

// A startup message gets one parameter more, also behind a refusal of TLS; a
// cancel request goes as it is, and so does all that follows TLS.
func TestStartupGetsAParameter(t *testing.T) {
	const version = 196608
	plain, more := message(version, "user\x00a\x00\x00"), message(version, "user\x00a\x00set\x00lazy\x00\x00")
	cancel := message(cancelRequest, "12345678")
	for _, c := range []struct{ name, sent, answered, got string }{
		{"without TLS", plain, "", more},
		{"TLS is refused", message(sslRequest, "") + plain, "N", message(sslRequest, "") + more},
		{"both are refused", message(gssRequest, "") + message(sslRequest, "") + plain, "NN", message(gssRequest, "") + message(sslRequest, "") + more},
		{"TLS", message(sslRequest, ""), "S", message(sslRequest, "")},
		{"a cancel request", cancel, "", cancel},
	} {
		client, front := net.Pipe()
		server, back := net.Pipe()
		began := make(chan error, 1)
		go func() { began <- begin(front, back, "set", "lazy"); front.Close(); back.Close() }()
		go io.WriteString(client, c.sent)
		go io.WriteString(server, c.answered)
		answered := make(chan string, 1)
		go func() { b, _ := io.ReadAll(client); answered <- string(b) }()
		got, _ := io.ReadAll(server)
		if err := <-began; err != nil || string(got) != c.got {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.got)
		}
		if a := <-answered; a != c.answered {
			t.Errorf("%s: the client was told %q", c.name, a)
		}
	}
}
