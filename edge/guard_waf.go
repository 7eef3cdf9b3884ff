package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

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
	r := waf.Request{
		Method: x.r.Method, Target: x.at.String(strings.Contains(x.r.RequestURI, "?")), Proto: x.r.Proto, Host: x.r.Host, Header: x.r.Header, Body: head, Cut: x.body != nil && int64(len(head)) >= x.body.keep, Client: client,
	}
	v, err := x.judge(r)
	if err != nil {
		return x.unjudged(err)
	}
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

// toBeJudged is how long a request waits at most until the firewall looks at it.
const toBeJudged = 5 * time.Second

// errUnjudged marks a request that came with more others than can be judged.
var errUnjudged = errors.New("the firewall has more to judge than it can")

// refuseUnjudged is answered to it. Nothing of it was executed.
var refuseUnjudged = answer{status: http.StatusServiceUnavailable, message: "The edge has more requests to look at than it can.", after: 2}

// judge waits until a request may be judged, and judges it.
func (x *exchange) judge(r waf.Request) (waf.Verdict, error) {
	left := x.start.Add(x.cfg.Timeouts.FirstByte).Sub(x.deps.Now())
	ctx, cancel := context.WithTimeout(x.r.Context(), left)
	defer cancel()
	leave, err := x.bench.Sit(ctx, r)
	if err != nil {
		return waf.Verdict{}, err
	}
	defer leave()
	return x.behavior.Guard.WAF.Judge(r), nil
}

// unjudged tells of a request that was not judged in time. Where attacks are
// blocked it is refused, and where they are detected it passes.
func (x *exchange) unjudged(err error) error {
	if x.r.Context().Err() != nil {
		return meridian.WithKind(meridian.Canceled, fmt.Errorf("wait for the firewall: %w", err))
	}
	passes := x.behavior.Guard.WAF.Detects()
	x.guarded = "firewall: " + errUnjudged.Error()
	x.metrics.guarded("firewall", map[bool]string{true: "unjudged and passed", false: "unjudged"}[passes])
	x.deps.Log.LogAttrs(x.r.Context(), slog.LevelWarn, "the firewall has more to judge than it can", slog.String("request", x.id), slog.String("client", x.r.RemoteAddr), slog.Bool("passes", passes))
	if passes {
		return nil
	}
	x.blocked = accesslog.FaultRate
	return errUnjudged
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
