package edge

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"

	"meridian"
	"meridian/edge/accesslog"
	"meridian/edge/waf"
)

// inspect lets the firewall judge a request that the cache does not answer: what
// the viewer sent, and of its body what the edge holds.
func (x *exchange) inspect() error {
	head, err := x.bodyHead()
	if err != nil {
		return err
	}
	client, _ := netip.ParseAddrPort(x.r.RemoteAddr) // the zero one stands for an unknown
	v := x.behavior.Guard.WAF.Judge(waf.Request{
		Method: x.r.Method, Target: x.at.String(strings.Contains(x.r.RequestURI, "?")), Proto: x.r.Proto, Host: x.r.Host, Header: x.r.Header, Body: head, Cut: x.body != nil && int64(len(head)) >= x.body.keep, Client: client,
	})
	if len(v.Rules) == 0 && v.Passes {
		return nil
	}
	x.guarded = fmt.Sprintf("firewall: %s (rules %s)", v.Why, rulesText(v.Rules))
	x.deps.Log.LogAttrs(x.r.Context(), slog.LevelWarn, "the firewall found an attack", slog.String("request", x.id), slog.Any("rules", v.Rules), slog.String("why", v.Why), slog.Bool("passes", v.Passes))
	if v.Passes {
		x.metrics.guarded("firewall", "detected")
		return nil
	}
	x.metrics.guarded("firewall", "blocked")
	x.blocked = accesslog.FaultBlocked
	return meridian.WithKind(meridian.Forbidden, fmt.Errorf("firewall: %s", v.Why))
}

func rulesText(ids []int) string {
	var s []string
	for _, id := range ids {
		s = append(s, strconv.Itoa(id))
	}
	return strings.Join(s, " ")
}

// bodyHead returns the first bytes of the body, as many as the edge can hold. A
// stream that lives longer than its first bytes (gRPC) is not waited for.
func (x *exchange) bodyHead() ([]byte, error) {
	if x.body == nil || strings.HasPrefix(x.r.Header.Get("Content-Type"), "application/grpc") {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(x.body.reader(), x.body.keep))
}
