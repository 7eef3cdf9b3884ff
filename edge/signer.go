package edge

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"

	"meridian/edge/function"
	"meridian/edge/origin"
)

// A Signer signs requests to an S3-compatible store (AWS Signature Version 4),
// where a function asks for that: originAccessControlConfig, or in origin-request
// events authMethod. It signs for its hosts alone, so that a name which a function
// makes of what a viewer sent is told nothing.
type Signer struct {
	Hosts   []string // *.NAME stands for all names below it
	Methods []string // of viewers; none means GET and HEAD
	Region  string   // where neither the function nor the host's name says one; "" means us-east-1

	AccessKey, Secret, Session string
}

func (s Signer) same(o Signer) bool {
	return slices.Equal(s.Hosts, o.Hosts) && slices.Equal(s.Methods, o.Methods) && s.Region == o.Region && s.AccessKey == o.AccessKey && s.Secret == o.Secret && s.Session == o.Session
}

// signs reports whether it is for a host.
func (s Signer) signs(host string) bool {
	host = strings.ToLower(host)
	return slices.ContainsFunc(s.Hosts, func(pattern string) bool {
		if below, ok := strings.CutPrefix(pattern, "*."); ok {
			return strings.HasSuffix(host, "."+below)
		}
		return host == pattern
	})
}

// takes reports whether it signs what a viewer asks by a method.
func (s Signer) takes(method string) bool {
	if len(s.Methods) == 0 {
		return method == http.MethodGet || method == http.MethodHead
	}
	return slices.Contains(s.Methods, method)
}

// A signature is how the requests of one exchange are signed.
type signature struct {
	by     Signer
	region string
	keep   bool // a viewer's own Authorization
	own    http.Header
}

// signing returns how requests to an origin are signed, as a function wants it;
// nil and why if they are not.
func (l *lanes) signing(cfg origin.CustomConfig, method string, want *function.Signing) (*signature, string) {
	if want == nil {
		return nil, ""
	}
	if want.Type != "s3" {
		return nil, "originType " + want.Type + ": requests are signed for s3 alone"
	}
	host := cfg.URL.Hostname()
	for _, s := range l.cfg.Signers {
		switch {
		case !s.signs(host) || cfg.HostHeader != "" && !s.signs(cfg.HostHeader):
		case !s.takes(method):
			return nil, "its entry in dynamicOrigins.sign does not have the method"
		default:
			region := cmp.Or(want.Region, regionIn(host), s.Region, "us-east-1")
			return &signature{by: s, region: region, keep: want.Behavior == "no-override", own: cfg.Headers}, ""
		}
	}
	return nil, "dynamicOrigins.sign names no host that it is for"
}

// regionIn returns the region that the name of a bucket, or of S3, has in it.
func regionIn(host string) string {
	if i := strings.LastIndex(host, ".s3"); i >= 0 {
		host = host[i+1:]
	}
	return s3utils.GetRegionFromURL(url.URL{Host: host})
}

// sign signs req, which has its URL and headers, and writes its path and query as
// they were signed. The body is not in the signature. Of x-amz headers, all of
// which a store wants signed, only those of the origin are left.
func (s *signature) sign(req *http.Request, host string) {
	path, query, _ := strings.Cut(req.URL.RequestURI(), "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		plain = path // an object of that very name
	}
	if s.keep && req.Header.Get("Authorization") != "" || !utf8.ValidString(plain) {
		return
	}
	signed := http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}
	for name := range req.Header {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		if values, ok := s.own[name]; ok {
			signed[name] = values
		}
		delete(req.Header, name)
	}
	req.Host = host
	req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: plain, RawPath: s3utils.EncodePath(plain), RawQuery: query}
	part := http.Request{Method: req.Method, Host: host, URL: req.URL, Header: signed}
	for name, values := range signer.SignV4(part, s.by.AccessKey, s.by.Secret, s.by.Session, s.region).Header {
		req.Header[name] = values
	}
}
