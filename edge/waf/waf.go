// Package waf looks for attacks in requests, with the OWASP Core Rule Set on
// coraza.
//
// In goes what a client sent, out comes a Verdict: which rules matched, what they
// add up to, and whether the request may pass. It is the dearest thing that an
// edge does, some hundred cache hits a request, so that only those are judged
// that memory does not answer.
package waf

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/debuglog"
	"github.com/corazawaf/coraza/v3/types"
)

// Config is what an operator may say of a firewall.
type Config struct {
	Detect   bool  // say what is found, and let it pass
	Paranoia int   // 1 to 4; 0 means 1
	Exclude  []int // rules that are wrong for this API, by their numbers
	Body     int   // bytes of a body that are looked at; 0 means 64 KiB
}

// A Firewall judges requests. Make one with New.
type Firewall struct {
	cfg Config
	waf coraza.WAF
}

// New compiles the rules, which takes some hundred milliseconds.
func New(cfg Config) (*Firewall, error) {
	if cfg.Paranoia == 0 {
		cfg.Paranoia = 1
	}
	if cfg.Body == 0 {
		cfg.Body = 64 << 10
	}
	w, err := compile(directives(cfg))
	if err != nil {
		return nil, fmt.Errorf("rules of the firewall: %w", err)
	}
	return &Firewall{cfg, w}, nil
}

func compile(rules string) (coraza.WAF, error) {
	return coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDebugLogger(debuglog.Noop()).WithDirectives(rules))
}

// directives returns the rules in SecLang. What answers say is not looked at, and
// nothing is kept for an audit: the access log has the rules. An expression is not
// asked of a text that lacks what each match of it has in it.
func directives(cfg Config) string {
	lines := []string{
		"Include @coraza.conf-recommended",
		"SecRuleEngine " + map[bool]string{true: "DetectionOnly", false: "On"}[cfg.Detect],
		"SecResponseBodyAccess Off", "SecAuditEngine Off", "SecRequestBodyAccess On", preFilter + " On",
		fmt.Sprintf("SecRequestBodyLimit %d", cfg.Body), fmt.Sprintf("SecRequestBodyInMemoryLimit %d", cfg.Body), "SecRequestBodyLimitAction ProcessPartial",
		fmt.Sprintf("SecArgumentsLimit %d", maxAsked),
		beyond(200004, 1, `ARGUMENTS_LIMIT_REACHED "@eq 1"`, "parameters", maxAsked), beyond(200005, 2, `ARGUMENTS_LIMIT_REACHED "@eq 1"`, "values of the body", maxAsked),
		beyond(200010, 1, fmt.Sprintf(`&REQUEST_COOKIES "@gt %d"`, maxCookies), "cookies", maxCookies), beyond(200011, 2, fmt.Sprintf(`&ARGS_POST "@gt %d"`, maxAsked), "parts of the body", maxAsked),
		"Include @crs-setup.conf.example",
		fmt.Sprintf(`SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%d"`, cfg.Paranoia, cfg.Paranoia),
		// The edge itself says which methods a behaviour takes.
		`SecAction "id:900200,phase:1,pass,t:none,nolog,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH DELETE'"`,
		"Include @owasp_crs/REQUEST-*.conf",
	}
	for _, id := range cfg.Exclude {
		lines = append(lines, "SecRuleRemoveById "+strconv.Itoa(id))
	}
	return strings.Join(lines, "\n")
}

const preFilter = "SecRxPreFilter"

// What the rules are asked of at most: every rule is asked of every one, which
// takes a quarter of a millisecond together. A thousand is coraza's own bound; no
// browser keeps more than 200 cookies for a site.
const (
	maxAsked   = 1000 // parameters, values of a body, parts
	maxCookies = 256
)

// beyond is a rule that refuses more of something than are looked at. The numbers
// are those of coraza's own, where it has one.
func beyond(id, phase int, what, name string, most int) string {
	return fmt.Sprintf(`SecRule %s "id:%d,phase:%d,t:none,log,deny,status:403,msg:'More %s than are looked at (%d)'"`, what, id, phase, name, most)
}

// Detects reports whether what is found passes.
func (f *Firewall) Detects() bool { return f.cfg.Detect }

// A Request is what is judged.
type Request struct {
	Method, Target, Proto string // as in the request line
	Host                  string
	Header                http.Header
	Body                  []byte // as much as is looked at
	Cut                   bool   // more of it comes
	Client                netip.AddrPort
}

// A Verdict says what was found.
type Verdict struct {
	Passes bool
	Rules  []int // that matched, but those that only count
	Why    string
}

// Judge looks at one request.
func (f *Firewall) Judge(r Request) Verdict {
	tx := f.waf.NewTransaction()
	defer tx.Close()
	blocked := phases(tx, r)
	v := Verdict{Passes: !blocked}
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		if m.Message() == "" || preparing(id) || evaluating(id) || slices.Contains(v.Rules, id) {
			continue
		}
		v.Rules = append(v.Rules, id)
		if v.Why == "" {
			v.Why = m.Message()
		}
	}
	return v
}

// preparing reports rules that only say how the others are asked, as for a request
// without a body that is parsed.
func preparing(id int) bool { return id >= 900000 && id < 911000 }

// evaluating reports rules that add up what others found.
func evaluating(id int) bool { return id >= 949000 && id < 950000 || id >= 980000 }

// phases hands a transaction the request bit by bit, and reports whether a rule
// stopped it.
func phases(tx types.Transaction, r Request) bool {
	tx.ProcessConnection(r.Client.Addr().String(), int(r.Client.Port()), "", 443)
	tx.ProcessURI(r.Target, r.Method, r.Proto)
	tx.SetServerName(r.Host)
	tx.AddRequestHeader("Host", r.Host)
	for name, lines := range r.Header {
		for _, line := range lines {
			if name == "Cookie" {
				line = firstCookies(line)
			}
			tx.AddRequestHeader(name, line)
		}
	}
	if tx.ProcessRequestHeaders() != nil {
		return true
	}
	if len(r.Body) > 0 {
		if it, _, err := tx.WriteRequestBody(shown(r.Header.Get("Content-Type"), r.Body, r.Cut)); it != nil || err != nil {
			return it != nil
		}
	}
	it, _ := tx.ProcessRequestBody() // a body that cannot be parsed has matched a rule
	return it != nil
}

// firstCookies returns as many cookies as the rules are asked of, and one more that
// tells of the others.
func firstCookies(line string) string {
	at := 0
	for range maxCookies + 1 {
		i := strings.IndexByte(line[at:], ';')
		if i < 0 {
			return line
		}
		at += i + 1
	}
	return line[:at-1]
}
