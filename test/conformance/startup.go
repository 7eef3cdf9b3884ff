package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
)

// The codes that may stand where a startup message has its version.
const (
	cancelRequest = 80877102
	sslRequest    = 80877103
	gssRequest    = 80877104
)

// front listens for a way, and adds a parameter to each startup message that
// comes without TLS: so a program's connections have a setting of which it does
// not know.
func (r *rig) front(ctx context.Context, name, value, to string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	r.running.Go(func() {
		serve(ctx, l, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", to) },
			func(client, server net.Conn) error { return begin(client, server, name, value) })
	})
	return l.Addr().String(), nil
}

// begin passes on what comes up to the startup message, and that with one
// parameter more.
func begin(client, server net.Conn, name, value string) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return err
		}
		size, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > 1<<16 {
			return errors.New("no startup message")
		}
		rest := make([]byte, size-8)
		if _, err := io.ReadFull(client, rest); err != nil {
			return err
		}
		if code != cancelRequest && code != sslRequest && code != gssRequest {
			rest = slices.Concat(rest[:len(rest)-1], []byte(name), []byte{0}, []byte(value), []byte{0, 0})
			binary.BigEndian.PutUint32(head[:], uint32(8+len(rest)))
		}
		if _, err := server.Write(append(head[:], rest...)); err != nil {
			return err
		}
		if code != sslRequest && code != gssRequest {
			return nil
		}
		var answer [1]byte
		if _, err := io.ReadFull(server, answer[:]); err != nil {
			return err
		}
		if _, err := client.Write(answer[:]); err != nil || answer[0] != 'N' {
			return err
		}
	}
}
