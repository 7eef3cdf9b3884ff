package waf

import (
	"net/url"
	"os"
	"strings"
	"testing"
)

// corpus reads requests of testdata, one a line. Those before which a - stands
// fare otherwise than the others of their file.
func corpus(t *testing.T, name string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) < 100 {
		t.Fatalf("%s has %d requests", name, len(lines))
	}
	return lines
}

// sent is the request that a line of a corpus stands for.
func sent(line string) Request {
	place, what, _ := strings.Cut(line, " ")
	r := request("GET", "/search")
	post := func(typ, body string) {
		r.Method, r.Body = "POST", []byte(body)
		r.Header.Set("Content-Type", typ)
	}
	switch place {
	case "query":
		r.Target = "/search?q=" + escaped(what)
	case "path":
		r.Target = what
	case "form":
		post("application/x-www-form-urlencoded", formed(what))
	case "json":
		post("application/json", what)
	case "xml":
		post("application/xml", what)
	case "file":
		post("multipart/form-data; boundary=b7f", "--b7f\r\nContent-Disposition: form-data; name=\"f\"; filename=\""+what+"\"\r\nContent-Type: image/jpeg\r\n\r\nhello\r\n--b7f--\r\n")
	case "header":
		name, value, _ := strings.Cut(what, " ")
		r.Header.Set(name, value)
	default:
		r.Header.Set(map[string]string{"cookie": "Cookie", "agent": "User-Agent", "referer": "Referer"}[place], what)
	}
	return r
}

// escaped is a text as it stands in a query. What is escaped already stays.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%25", "%") }

// formed is a form of which only the values are escaped.
func formed(s string) string {
	var out []string
	for pair := range strings.SplitSeq(s, "&") {
		name, value, _ := strings.Cut(pair, "=")
		out = append(out, name+"="+escaped(value))
	}
	return strings.Join(out, "&")
}

// TestKnownAttacksAreFound: at level 1 each of the corpus, but those that are known
// to pass.
func TestKnownAttacksAreFound(t *testing.T) {
	f := firewall(t, Config{})
	for _, line := range corpus(t, "attacks") {
		text, passes := strings.CutPrefix(line, "- ")
		if v := f.Judge(sent(text)); v.Passes != passes {
			t.Errorf("%s: %+v", line, v)
		}
	}
}

func TestOrdinaryRequestsAreNoAttacks(t *testing.T) {
	f := firewall(t, Config{})
	for _, line := range corpus(t, "benign") {
		text, refused := strings.CutPrefix(line, "- ")
		if v := f.Judge(sent(text)); v.Passes == refused {
			t.Errorf("%s: %+v", line, v)
		}
	}
}
