package config

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"

	"meridian/internal/script"
)

// An EdgeFunction is JavaScript that edges run between a viewer and the cache,
// or the cache and an origin.
type EdgeFunction struct {
	Code    string `key:"code" doc:"The file with its source." want:"a JavaScript file such as ./functions/rewrite.js"`
	Runtime string `key:"runtime" doc:"What it was written for. Default: lambda-edge if it exports a handler as Lambda functions do, else cloudfront-js-2.0." want:"cloudfront-js-2.0 or lambda-edge"`
	KVS     string `key:"kvs" doc:"The key-value store that cf.kvs() opens. Default: none." want:"a name under keyValueStores"`
	pos     position
}

// DynamicOrigins bounds where edge functions send requests that the file does
// not name.
type DynamicOrigins struct {
	Allow []string       `key:"allow" doc:"Networks that functions may use though they are not public. Default: none." want:"networks such as 10.1.0.0/16"`
	Sign  []SignedOrigin `key:"sign" doc:"S3-compatible stores to which requests are signed where a function asks for it (originAccessControlConfig). Default: none."`
	pos   position
}

// A SignedOrigin says with what requests to stores are signed.
type SignedOrigin struct {
	Hosts       []string `key:"hosts" doc:"The names of its hosts; *.NAME stands for all names below it." want:"names such as media.s3.eu-west-1.amazonaws.com or *.s3.example.test"`
	Credentials string   `key:"credentials" doc:"A file as ~/.aws/credentials is." want:"a file as ~/.aws/credentials is"`
	Region      string   `key:"region" doc:"The store's region, where neither the function nor the host's name says one. Default: us-east-1." want:"a region such as eu-west-1"`
	Methods     []string `key:"methods" doc:"What viewers may do with these credentials. Default: GET and HEAD." want:"methods such as GET, HEAD and PUT"`
	pos         position
}

// Functions are the edge functions that a behaviour runs.
type Functions struct {
	ViewerRequest  string `key:"viewerRequest" doc:"On each request, before the cache." want:"a name under edgeFunctions"`
	ViewerResponse string `key:"viewerResponse" doc:"On each response that is no error, after the cache." want:"a name under edgeFunctions"`
	OriginRequest  string `key:"originRequest" doc:"On what goes to the origin; in Lambda@Edge's events." want:"a name under edgeFunctions"`
	OriginResponse string `key:"originResponse" doc:"On what the origin answers; in Lambda@Edge's events." want:"a name under edgeFunctions"`
	pos            position
}

// The runtimes of edge functions.
const (
	RuntimeCloudFront = "cloudfront-js-2.0"
	RuntimeLambdaEdge = "lambda-edge"
)

// maxCode bounds the source of an edge function, in bytes: CloudFront's limits.
var maxCode = map[string]int{"": 10 << 10, RuntimeCloudFront: 10 << 10, RuntimeLambdaEdge: 1 << 20}

func (d *decoder) checkEdgeFunctions(f *File) {
	d.checkStores(f)
	for i, n := range f.DynamicOrigins.Allow {
		if p, err := netip.ParsePrefix(n); err != nil || p.Masked() != p {
			d.fail(d.at(f.DynamicOrigins.pos, fmt.Sprintf("allow[%d]", i)), "found "+short(n), "a network such as 10.1.0.0/16")
		}
	}
	for _, s := range f.DynamicOrigins.Sign {
		d.checkSigned(s)
	}
	for _, name := range sorted(f.EdgeFunctions) {
		d.checkEdgeFunction(f, name, f.EdgeFunctions[name])
	}
	for _, b := range f.Behaviors {
		d.checkFunctionsOf(f, b)
	}
}

// signedHost is the name of a host, or *. and one.
var signedHost = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

func (d *decoder) checkSigned(s SignedOrigin) {
	if len(s.Hosts) == 0 {
		d.missing(s.pos, "hosts", "names such as media.s3.eu-west-1.amazonaws.com or *.s3.example.test")
	}
	for i, h := range s.Hosts {
		if !signedHost.MatchString(h) {
			d.fail(d.at(s.pos, fmt.Sprintf("hosts[%d]", i)), "found "+short(h), "a name in lower case such as media.s3.eu-west-1.amazonaws.com or *.s3.example.test")
		}
	}
	for i, m := range s.Methods {
		if !slices.Contains([]string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"}, m) {
			d.fail(d.at(s.pos, fmt.Sprintf("methods[%d]", i)), "found "+short(m), "GET, HEAD, PUT, POST, DELETE or OPTIONS")
		}
	}
	d.needs(s.pos, "credentials", s.Credentials, "a file as ~/.aws/credentials is")
}

func (d *decoder) checkEdgeFunction(f *File, name string, e EdgeFunction) {
	if !policyName.MatchString(name) {
		d.fail(d.names[e.pos.key], "found "+short(name), "a name of letters, digits, hyphens and underscores, a letter first")
	}
	if _, ok := maxCode[e.Runtime]; !ok {
		d.fail(d.at(e.pos, "runtime"), "runtime is "+short(e.Runtime), RuntimeCloudFront+" or "+RuntimeLambdaEdge)
		return
	}
	if _, ok := f.KeyValueStores[e.KVS]; e.KVS != "" && !ok {
		d.fail(d.at(e.pos, "kvs"), fmt.Sprintf("no key-value store is named %q", e.KVS), "a name under keyValueStores:")
	}
	if e.Code == "" {
		d.missing(e.pos, "code", "a JavaScript file such as ./functions/rewrite.js")
		return
	}
	if d.elsewhere {
		return
	}
	p := d.at(e.pos, "code")
	if info, err := os.Stat(e.Code); err != nil || info.IsDir() {
		d.exists(p, e.Code, "a JavaScript file", false)
		return
	}
	source, err := os.ReadFile(e.Code)
	if err != nil {
		d.fail(p, fmt.Sprintf("%s cannot be read: %v", e.Code, err), "a JavaScript file")
		return
	}
	if _, err := script.Compile(e.Code, source, maxCode[e.Runtime]); err != nil {
		d.fail(p, err.Error(), "JavaScript for CloudFront Functions or Lambda@Edge")
	}
}

func (d *decoder) checkFunctionsOf(f *File, b Behavior) {
	if b.Functions == nil || d.broken(b.Functions.pos.key) {
		return
	}
	for _, u := range []struct{ key, name string }{
		{"viewerRequest", b.Functions.ViewerRequest}, {"viewerResponse", b.Functions.ViewerResponse},
		{"originRequest", b.Functions.OriginRequest}, {"originResponse", b.Functions.OriginResponse},
	} {
		e, ok := f.EdgeFunctions[u.name]
		lambda := ok && (u.key == "originRequest" || u.key == "originResponse")
		switch p := d.at(b.Functions.pos, u.key); {
		case u.name == "":
		case !ok && slices.ContainsFunc(f.Functions, func(fn Function) bool { return fn.Name == u.name }):
			d.fail(p, fmt.Sprintf("%q is a function of the API", u.name), "a name under edgeFunctions:, whose functions are JavaScript that edges run")
		case !ok:
			d.fail(p, fmt.Sprintf("no edge function is named %q", u.name), "a name under edgeFunctions:")
		case lambda && e.Runtime == RuntimeCloudFront:
			d.fail(p, fmt.Sprintf("%q is written for %s, which has no %s", u.name, RuntimeCloudFront, u.key), "a function with exports.handler, as Lambda@Edge has them")
		}
	}
}
