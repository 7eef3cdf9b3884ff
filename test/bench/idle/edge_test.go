package idle

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"time"

	"meridian"
	"meridian/edge"
	"meridian/topology"
)

// beEdge runs an edge without regions until its input ends. What is asked of it
// it answers itself.
func beEdge(ctx context.Context) error {
	pair, err := certificate()
	if err != nil {
		return err
	}
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{Domain: "localhost"})
	e, err := edge.New(edge.Config{
		Place: "eu-west-1", Node: "eu-west-1/edge", Domain: "localhost", HTTPS: "127.0.0.1:0", Timeouts: edge.Timeouts{Idle: time.Hour},
	}, edge.Deps{Map: m, Certs: one{pair}, Dial: func(context.Context, meridian.Region) (net.Conn, error) { return nil, errors.New("no regions") }})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { defer cancel(); tell(os.Stdin) }() // ends with the process
	return e.Run(ctx, func() {
		https, _ := e.Addrs()
		fmt.Println(https)
	})
}

// tell answers each line of its input with the bytes of the heap that live, and
// those of stacks.
func tell(in io.Reader) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools held lives through one
		runtime.ReadMemStats(&m)
		fmt.Println(m.HeapAlloc + m.StackInuse)
	}
}

// one is the only certificate.
type one struct{ *tls.Certificate }

// GetCertificate implements edge.Certificates.
func (o one) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return o.Certificate, nil
}

func certificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
