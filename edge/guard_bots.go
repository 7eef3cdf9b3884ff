package edge

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"meridian/edge/accesslog"
	"meridian/internal/pathpattern"
)

// What scanners ask every address for, in lower case: files that nobody should
// serve, folders of software that an API behind Meridian is not, and programs of
// other people's servers.
var (
	hiddenFiles = []string{".env", ".git", ".svn", ".hg", ".aws", ".ssh", ".htaccess", ".htpasswd", ".ds_store", ".vscode"}
	folders     = []string{"cgi-bin", "wp-admin", "wp-includes", "wp-content", "phpmyadmin", "phpunit", "_ignition", "boaform", "hnap1", "owa", "autodiscover"}
	programs    = []string{".php", ".asp", ".aspx", ".jsp", ".cgi"}
)

// decent returns the answer to what only scanners send. A behaviour whose own
// pattern names a path knows better what it is for.
func (x *exchange) decent() (answer, bool) {
	switch {
	case !x.ours(x.r.Host):
		x.guarded, x.blocked = "the Host is not this API's", accesslog.FaultBlocked
		x.metrics.guarded("bots", "host")
		return answer{status: http.StatusMisdirectedRequest, message: "This is not that host."}, false
	case strings.Contains(x.at.path, "%00") || x.unnamed() && probing(pathpattern.Normalize(x.at.path)):
		x.guarded, x.blocked = "only scanners ask for this path", accesslog.FaultBlocked
		x.metrics.guarded("bots", "path")
		return answer{status: http.StatusNotFound, message: "Not Found"}, false
	}
	return answer{}, true
}

// ours reports whether a Host is the API's, or below it. HTTP/1.0 need not name
// one.
func (e *Edge) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "" || host == e.cfg.Domain || strings.HasSuffix(host, "."+e.cfg.Domain)
}

// unnamed reports whether the behaviour is the one for everything else.
func (x *exchange) unnamed() bool {
	return strings.Trim(x.behavior.Path, "/") == "*"
}

// probing reports whether only scanners ask for a path.
func probing(path string) bool {
	for segment := range strings.SplitSeq(strings.ToLower(path), "/") {
		hidden := func(name string) bool { return segment == name || strings.HasPrefix(segment, name+".") }
		program := func(ending string) bool { return strings.HasSuffix(segment, ending) }
		if slices.Contains(folders, segment) || slices.ContainsFunc(hiddenFiles, hidden) || slices.ContainsFunc(programs, program) {
			return true
		}
	}
	return false
}
