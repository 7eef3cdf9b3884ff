// Package pki is a small certificate authority in a folder: it names the nodes
// of one installation to each other, and serves as the issuer of the public
// names until somebody brings a better one.
//
// The folder holds ca.pem and ca.key, and a .pem and a .key for each node and
// server, and certs.key. Keys have mode 0600. Whoever reads ca.key can be any
// node: give a node its own two files, ca.pem and certs.key, no more.
package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How long certificates hold. A leaf is made anew once less than a third of
// its life is left, so that a world that is started once a month never meets
// an expired one.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
)

// A CA is a certificate authority in a folder.
type CA struct {
	dir  string
	now  func() time.Time
	pair tls.Certificate // Leaf is parsed
}

// Create opens the authority in dir, or makes one there, and issues
// certificates for the nodes. What is there and good is kept, so it may be
// called at every start.
func Create(dir string, nodes ...string) (*CA, error) { return create(dir, time.Now, nodes...) }

func create(dir string, now func() time.Time, nodes ...string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of the certificate authority: %w", err)
	}
	ca := &CA{dir: dir, now: now}
	if err := ca.open(); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := ca.Issue(n); err != nil {
			return nil, err
		}
	}
	return ca, nil
}

// open loads the authority's own pair. It makes one only where there is
// neither certificate nor key: to replace a damaged one would cut off every
// node that trusts it, and that is for a person to decide.
func (ca *CA) open() (err error) {
	ca.pair, err = load(ca.path("ca"))
	if errors.Is(err, fs.ErrNotExist) && !exists(ca.path("ca")+".pem") && !exists(ca.path("ca")+".key") {
		if ca.pair, err = selfSigned(ca.now()); err == nil {
			err = store(ca.path("ca"), ca.pair)
		}
	}
	if err != nil {
		return fmt.Errorf("open certificate authority: %w", err)
	}
	if end := ca.pair.Leaf.NotAfter; ca.now().After(end) {
		return fmt.Errorf("open certificate authority: %s.pem expired on %s", ca.path("ca"), end.Format(time.DateOnly))
	}
	return nil
}

// Issue makes the certificate by which a node proves its name to others, as
// server and as client, unless a good one is there.
func (ca *CA) Issue(node string) error {
	want := request{name: node, uris: []*url.URL{NodeURI(node)}, client: true}
	if err := ca.issue(ca.path(nodeFile(node)), want); err != nil {
		return fmt.Errorf("issue certificate of node %s: %w", node, err)
	}
	return nil
}

// IssueServer makes a server certificate for DNS names and IP addresses, of
// which the first is also the name of the files, unless a good one is there.
// It returns the paths of certificate and key.
func (ca *CA) IssueServer(names ...string) (cert, key string, err error) {
	if len(names) == 0 {
		return "", "", errors.New("issue server certificate: no name given")
	}
	base := ca.path("server-" + strings.ReplaceAll(names[0], "*", "_"))
	if err := ca.issue(base, request{name: names[0], hosts: names}); err != nil {
		return "", "", fmt.Errorf("issue certificate of %s: %w", names[0], err)
	}
	return base + ".pem", base + ".key", nil
}

// Pool returns a pool that holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.pair.Leaf)
	return pool
}

// LoadNode reads what Create left for a node in dir: its certificate, and the
// authority that it trusts.
func LoadNode(dir, node string) (tls.Certificate, *x509.CertPool, error) {
	pair, err := load(filepath.Join(dir, nodeFile(node)))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("load certificate of node %s: %w", node, err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("load certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return tls.Certificate{}, nil, fmt.Errorf("load certificate authority: %s holds no certificate", filepath.Join(dir, "ca.pem"))
	}
	return pair, pool, nil
}

// NodeURI is the name of a node in its certificate.
func NodeURI(node string) *url.URL {
	return &url.URL{Scheme: "meridian", Host: "node", Path: "/" + node, RawPath: "/" + url.PathEscape(node)}
}

// NodeOf returns the node that a certificate names.
func NodeOf(cert *x509.Certificate) (string, bool) {
	for _, u := range cert.URIs {
		if u.Scheme == "meridian" && u.Host == "node" && len(u.Path) > 1 {
			return u.Path[1:], true
		}
	}
	return "", false
}

// nodeFile is the name of a node's files. A + stands for /, which names of
// nodes have and file names cannot.
func nodeFile(node string) string { return "node-" + strings.ReplaceAll(node, "/", "+") }

func (ca *CA) path(base string) string { return filepath.Join(ca.dir, base) }

// issue makes and stores what r asks for, unless the files hold it already.
func (ca *CA) issue(base string, r request) error {
	if pair, err := load(base); err == nil && ca.keeps(pair.Leaf, r) {
		return nil
	}
	pair, err := ca.sign(r)
	if err != nil {
		return err
	}
	return store(base, pair)
}

// keeps reports whether a certificate still does what r asks for.
func (ca *CA) keeps(c *x509.Certificate, r request) bool {
	t := r.template(ca.now())
	sameURIs := slices.EqualFunc(c.URIs, t.URIs, func(a, b *url.URL) bool { return a.String() == b.String() })
	return c.CheckSignatureFrom(ca.pair.Leaf) == nil &&
		ca.now().After(c.NotBefore) && c.NotAfter.Sub(ca.now()) > leafLife/3 &&
		sameURIs && slices.Equal(c.DNSNames, t.DNSNames) && slices.EqualFunc(c.IPAddresses, t.IPAddresses, net.IP.Equal)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
