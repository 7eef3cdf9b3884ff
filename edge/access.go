package edge

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/edge/accesslog"
	"meridian/edge/origin"
)

// access hands the access log what became of the request. Requests of other
// edges are theirs to log.
func (x *exchange) access(took time.Duration) {
	if x.log == nil || x.inner || !x.log.Wants() {
		return
	}
	asked, h := targetOf(x.r), x.w.Header()
	e := &accesslog.Entry{
		Time: x.start, Place: string(x.cfg.Place), Request: x.id, Trace: trace.SpanContextFromContext(x.r.Context()).TraceID().String(),
		Protocol: x.r.Proto, Method: x.r.Method, Host: x.r.Host, Path: asked.path, Query: asked.query,
		Referer: x.r.Header.Get("Referer"), UserAgent: x.r.Header.Get("User-Agent"), Cookie: strings.Join(x.r.Header["Cookie"], "; "), Forwarded: strings.Join(x.r.Header["X-Forwarded-For"], ", "),
		BytesIn: max(x.r.ContentLength, 0), BytesOut: x.w.bytes, Status: x.w.status, Took: took,
		ContentType: h.Get("Content-Type"), ContentLength: h.Get("Content-Length"), ContentRange: h.Get("Content-Range"),
		Outcome: string(x.outcome), Behavior: x.behavior.path(), Region: string(x.choice.Region), Why: x.choice.Why, Guard: x.guarded, Fault: x.fault(), Rollout: x.arm(), Notes: x.notes, Function: x.wrote,
	}
	if x.deps.Geo != nil {
		p, _ := x.deps.Geo.Find(addressOf(x.r.RemoteAddr))
		e.Country = p.Code()
	}
	e.Client, _ = netip.ParseAddrPort(x.r.RemoteAddr) // the zero one stands for an unknown
	if t := x.r.TLS; t != nil {
		e.TLS, e.Cipher = strings.Replace(tls.VersionName(t.Version), " ", "v", 1), cipherName(t.CipherSuite)
	}
	if !x.w.headed.IsZero() {
		e.FirstByte = x.w.headed.Sub(x.start)
	}
	if x.err != nil {
		e.Error = x.err.Error()
	}
	if errors.Is(x.err, errFunction) {
		e.Function = functionFailed(x.err).code
	}
	x.log.Write(e)
}

// cipherName returns OpenSSL's name of a cipher suite, as CloudFront shows it.
func cipherName(suite uint16) string {
	name := tls.CipherSuiteName(suite)
	rest, ok := strings.CutPrefix(name, "TLS_ECDHE_")
	if !ok {
		return name // of TLS 1.3, both have one name
	}
	rest = strings.NewReplacer("_WITH_", "_", "AES_", "AES", "_POLY1305_SHA256", "_POLY1305").Replace(rest)
	return "ECDHE-" + strings.ReplaceAll(rest, "_", "-")
}

// fault says what went wrong, if anything did that is not the origin's answer.
func (x *exchange) fault() accesslog.Fault {
	var e *origin.Error
	switch {
	case x.w.status == statusClientGone || errors.Is(x.err, errClient) || x.w.status == 0:
		return accesslog.FaultClient
	case x.blocked != "":
		return x.blocked
	case x.err == nil && x.outcome == "" && x.w.status == http.StatusMethodNotAllowed:
		return accesslog.FaultMethod
	case x.err == nil:
		return ""
	case errors.Is(x.err, errFunction) && functionFailed(x.err).status == http.StatusBadGateway:
		return accesslog.FaultResult
	case errors.Is(x.err, errFunction):
		return accesslog.FaultFunction
	case errors.As(x.err, &e) && e.Kind == meridian.Invalid, meridian.KindOf(x.err) == meridian.TooLarge:
		return accesslog.FaultRequest
	case kindOf(x.err) == meridian.Timeout:
		return accesslog.FaultTimeout
	case errors.As(x.err, &e) && e.Sent == origin.Unsent, kindOf(x.err) == meridian.Unavailable:
		return accesslog.FaultConnect
	}
	return accesslog.FaultOrigin
}
