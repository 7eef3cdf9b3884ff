package main

import (
	"fmt"
	"strings"

	"meridian/client"
	"meridian/server"
)

// samples returns three requests to begin with: the door itself, and what the
// API's file names.
func samples(openapi string) []server.Sample {
	_, try := server.Samples(openapi)
	return append([]server.Sample{{Path: "/"}}, try...)
}

// curl writes s as a command line for an edge.
func curl(s server.Sample, st client.Status, e client.Edge) string {
	ip, port, _ := strings.Cut(e.HTTPS, ":")
	words := []string{"curl", "--cacert", quote(st.CA), "--resolve", fmt.Sprintf("%s:%s:%s", st.Domain, port, ip)}
	if s.Method != "" && s.Method != "GET" {
		words = append(words, "-X", s.Method)
	}
	if s.Body != "" {
		words = append(words, "-H 'content-type: application/json' -d", strings.ReplaceAll("'"+s.Body+"'", "$RANDOM", "'$RANDOM'"))
	}
	return strings.Join(append(words, fmt.Sprintf("https://%s:%s%s", st.Domain, port, s.Path)), " ")
}

// quote leaves a path alone that no shell would touch.
func quote(path string) string {
	if strings.ContainsAny(path, " '\"$\\&|;<>()*?") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
