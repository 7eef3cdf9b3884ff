package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func entry() *Entry {
	return &Entry{
		Time: time.Date(2026, 11, 26, 10, 11, 12, 345e6, time.UTC), Place: "eu-west-1", Request: "r1", Client: netip.MustParseAddrPort("192.0.2.1:1234"),
		Protocol: "HTTP/2.0", TLS: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Method: "GET", Host: "api.example.test", Path: "/a", Query: "x=1&Signature=abc&Expires=9",
		UserAgent: "curl/8 \"x\"\x01", Referer: "https://a.test/?token=t&y", Cookie: "sid=1; lang=de", BytesOut: 12, Status: 200, Took: 1500 * time.Microsecond, FirstByte: time.Millisecond,
		Outcome: "miss", Behavior: "/a*", Region: "us-east-1", ContentType: "text/plain", ContentRange: "bytes 0-11/100",
	}
}

// running runs a log for the time of f, and returns what it counted.
func running(t *testing.T, cfg Config, out *bytes.Buffer, f func(*Log)) map[string]float64 {
	t.Helper()
	deps := Deps{}
	if out != nil {
		deps.Stdout = out
	}
	l, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
	})
	f(l)
	cancel()
	wg.Wait()
	counted := map[string]float64{}
	for _, r := range []string{"written", "dropped", "failed"} {
		counted[r] = testutil.ToFloat64(l.lines.WithLabelValues(r))
	}
	return counted
}

func TestALineHasTheNamesOfItsFormat(t *testing.T) {
	var out bytes.Buffer
	running(t, Config{To: "-"}, &out, func(l *Log) { l.Write(entry()) })
	const own = `{"time":"2026-11-26T10:11:12.345Z","place":"eu-west-1","request":"r1","client":"192.0.2.1","protocol":"HTTP/2.0","tls":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256",` +
		`"method":"GET","host":"api.example.test","path":"/a","query":"x=1&Signature=REDACTED&Expires=9","referer":"https://a.test/?token=REDACTED&y","user_agent":"curl/8 \"x\"\u0001",` +
		`"status":200,"bytes_in":0,"bytes_out":12,"content_type":"text/plain","took":0.001500,"first_byte":0.001000,"cache":"miss","behavior":"/a*","region":"us-east-1"}` + "\n"
	if out.String() != own {
		t.Errorf("%s\nwant %s", &out, own)
	}
	out.Reset()
	running(t, Config{To: "-", Format: CloudFront, Cookies: true, Secrets: true}, &out, func(l *Log) { l.Write(entry()) })
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	for name, want := range map[string]string{
		"date": "2026-11-26", "time": "10:11:12", "x-edge-location": "eu-west-1", "sc-bytes": "12", "c-ip": "192.0.2.1", "c-port": "1234", "cs-method": "GET", "cs(Host)": "api.example.test",
		"cs-uri-stem": "/a", "sc-status": "200", "cs(Referer)": "https://a.test/?token=t&y", "cs(User-Agent)": "curl/8%20%22x%22%01", "cs-uri-query": "x=1&Signature=abc&Expires=9",
		"cs(Cookie)": "sid=1;%20lang=de", "x-edge-result-type": "Miss", "x-edge-detailed-result-type": "Miss", "cs-protocol": "https", "time-taken": "0.002", "x-forwarded-for": "-",
		"sc-range-start": "0", "sc-range-end": "11", "timestamp": "1795687872.346", "fle-status": "-",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 38 {
		t.Errorf("%d fields", len(got))
	}
}

// Its example, and each character of its table. The time is that of the end.
func TestWhatIsEscapedIsWhatCloudFrontEscapes(t *testing.T) {
	const agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
	for text, want := range map[string]string{
		agent:                        "Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)%20AppleWebKit/537.36%20(KHTML,%20like%20Gecko)",
		"<>\"#%{}|\\^~[]`'\x1f\x7fé": "%3C%3E%22%23%25%7B%7D%7C%5C%5E%7E%5B%5D%60%27%1F%7F%C3%A9", "http://www.example.com/?a=b&c+d:$@!*()": "http://www.example.com/?a=b&c+d:$@!*()",
	} {
		if got := escaped(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	var out bytes.Buffer
	running(t, Config{To: "-", Format: CloudFront}, &out, func(l *Log) { e := entry(); e.Took = 49 * time.Second; l.Write(e) })
	if !strings.Contains(out.String(), `"time":"10:12:01"`) {
		t.Error(out.String())
	}
}

// CloudFront has room for 800 bytes of what a function says, as they are written.
func TestWhatFunctionsSayIsEscapedAndCut(t *testing.T) {
	for text, want := range map[string]string{
		"": "-", `{"a":1}`: "%7B%22a%22%3A1%7D", "é b": "%C3%A9%20b", strings.Repeat("x", 900): strings.Repeat("x", 800), "xx" + strings.Repeat("%", 300): "xx" + strings.Repeat("%25", 266),
	} {
		var out bytes.Buffer
		running(t, Config{To: "-", Format: CloudFront}, &out, func(l *Log) { e := entry(); e.Notes[1] = text; l.Write(e) })
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["viewer-response-log-data"] != want || got["viewer-request-log-data"] != "-" {
			t.Errorf("%.20s: %q %q, %v", text, got["viewer-request-log-data"], got["viewer-response-log-data"], err)
		}
	}
	var out bytes.Buffer
	running(t, Config{To: "-"}, &out, func(l *Log) { e := entry(); e.Notes[0] = `a "b"`; l.Write(e) })
	if !strings.Contains(out.String(), `"viewer_request_log_data":"a \"b\""`) {
		t.Error(out.String())
	}
}

func TestResultsAreCloudFronts(t *testing.T) {
	for _, tt := range []struct {
		e    Entry
		want string
	}{
		{Entry{Status: 200, Outcome: "hit"}, "Hit Hit"}, {Entry{Status: 200, Outcome: "stale"}, "Hit Hit"}, {Entry{Status: 200, Outcome: "collapsed"}, "Hit Hit"},
		{Entry{Status: 200, Outcome: "revalidated"}, "RefreshHit RefreshHit"}, {Entry{Status: 200, Outcome: "miss"}, "Miss Miss"}, {Entry{Status: 304, Outcome: "bypass"}, "Miss Miss"},
		{Entry{Status: 301}, "Redirect Redirect"}, {Entry{Status: 404, Outcome: "hit"}, "Error OriginError"}, {Entry{Status: 400}, "Error InvalidRequest"},
		{Entry{Status: 429, Fault: FaultRate}, "LimitExceeded LimitExceeded"}, {Entry{Status: 403, Fault: FaultBlocked}, "Error InvalidRequestBlocked"},
		{Entry{Status: 401, Function: "FunctionGeneratedResponse"}, "FunctionGeneratedResponse FunctionGeneratedResponse"}, {Entry{Status: 301, Outcome: "miss", Function: "LambdaGeneratedResponse"}, "LambdaGeneratedResponse LambdaGeneratedResponse"},
		{Entry{Status: 503, Fault: FaultFunction, Function: "FunctionThrottledError"}, "Error FunctionThrottledError"}, {Entry{Status: 502, Fault: FaultResult, Function: "LambdaValidationError"}, "Error LambdaValidationError"},
		{Entry{Status: 499, Fault: FaultClient, Function: "FunctionGeneratedResponse"}, "Error ClientCommError"},
		{Entry{Status: 503, Fault: FaultConnect}, "Error OriginConnectError"}, {Entry{Status: 504, Fault: FaultTimeout}, "Error OriginReadError"}, {Entry{Status: 499, Fault: FaultClient}, "Error ClientCommError"},
	} {
		if a, b := Result(&tt.e); a+" "+b != tt.want {
			t.Errorf("%+v: %s %s", tt.e, a, b)
		}
	}
}

// A stuck disk takes no request's time. Control: without the queue's bound the
// write would not return.
func TestAStuckDiskIsNotWaitedFor(t *testing.T) {
	stuck := &stuckWriter{in: make(chan struct{}, 2), free: make(chan struct{})}
	l, err := New(Config{To: "-", Queue: 4}, Deps{Stdout: stuck})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx, func() {}) })
	l.Write(entry())
	<-stuck.in // with that one alone
	for range 1000 {
		l.Write(entry()) // returns though nothing is written
	}
	dropped := testutil.ToFloat64(l.lines.WithLabelValues("dropped"))
	close(stuck.free)
	cancel()
	wg.Wait()
	written := testutil.ToFloat64(l.lines.WithLabelValues("written"))
	if dropped != 1000-4 || written != 1+4 {
		t.Errorf("%v dropped, %v written", dropped, written)
	}
}

// A stuckWriter says when it is written to, and does so once it is free.
type stuckWriter struct{ in, free chan struct{} }

func (w *stuckWriter) Write(b []byte) (int, error) {
	w.in <- struct{}{}
	<-w.free
	return len(b), nil
}

func TestAFileMakesWayForTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	f := &file{path: path, most: 100, keep: 2}
	defer f.Close()
	line := func(i int) []byte { return fmt.Appendf(nil, "%-59d\n", i) }
	for i := range 5 {
		if _, err := f.Write(line(i)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			return "none"
		}
		return strings.TrimSpace(string(b))
	}
	if a, b, c, d := read(path), read(path+".1"), read(path+".2"), read(path+".3"); a != "4" || b != "3" || c != "2" || d != "none" {
		t.Errorf("%s %s %s %s", a, b, c, d)
	}
	if err := os.Rename(path, path+".away"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	if _, err := f.Write(line(5)); err != nil {
		t.Fatal(err)
	}
	if a, b := read(path), read(path+".away"); a != "5" || b != "4" {
		t.Errorf("after it was moved away: %s, %s", a, b)
	}
}

func TestALogThatCannotBeWrittenIsHeardOfAtTheStart(t *testing.T) {
	if _, err := New(Config{To: filepath.Join(t.TempDir(), "no", "access.log")}, Deps{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestASampleIsAShare(t *testing.T) {
	l := &Log{cfg: Config{Sample: 0.1}}
	n := 0
	for range 100_000 {
		if l.Wants() {
			n++
		}
	}
	if n < 9_000 || n > 11_000 { // ten standard deviations
		t.Errorf("%d of 100000", n)
	}
}

// FuzzLine wants one line of JSON of whatever strangers send, and no secret in it.
func FuzzLine(f *testing.F) {
	f.Add("/a", "Signature=SECRETVALUE", "x\"\\\x00\xff", "https://a/?token=SECRETVALUE")
	f.Add("/%", "sig%6eature=SECRETVALUE&&=", "\u2028", "?")
	f.Fuzz(func(t *testing.T, path, rawQuery, agent, referer string) {
		for _, format := range []Format{JSON, CloudFront} {
			e := entry()
			e.Path, e.Query, e.UserAgent, e.Referer = path, rawQuery, agent, referer
			Redact(e)
			line := appendLine(nil, e, format)
			if bytes.Count(line, []byte("\n")) != 1 || !json.Valid(line) {
				t.Fatalf("%q", line)
			}
			again := *e
			if Redact(&again); again != *e {
				t.Fatalf("%q, then %q", e.Query, again.Query)
			}
		}
		if q := query("Signature=SECRETVALUE&" + rawQuery); strings.HasPrefix(q, "Signature=S") {
			t.Fatal(q)
		}
	})
}
