package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

const signKey = "../../edge/sign/testdata/keys/ec.pem"

// printed runs a command line that must succeed, and returns what it printed.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	code := run(t.Context(), args) // what it prints here fits into the pipe
	os.Stdout = stdout
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil || code != 0 {
		t.Fatalf("%v: exit %d, %v", args, code, err)
	}
	return string(b)
}

func TestSignPrintsWhatBearsTheGrant(t *testing.T) {
	const u = "https://api.example.test/private/a?x=1"
	for want, more := range map[string][]string{
		`^https://api\.example\.test/private/a\?x=1&Expires=1900000000&Signature=[A-Za-z0-9~_-]+&Key-Pair-Id=K1\n$`:     {},
		`^https://api\.example\.test/private/a\?x=1&Policy=[A-Za-z0-9~_-]+&Signature=[A-Za-z0-9~_-]+&Key-Pair-Id=K1\n$`: {"--client", "192.0.2.0/24"},
		`&Key-Pair-Id=K1&Hash-Algorithm=SHA256\n$`: {"--sha256"},
		`^Set-Cookie: CloudFront-Policy=[^;]+; Path=/; Secure; HttpOnly\nSet-Cookie: CloudFront-Signature=[^;]+;.*\nSet-Cookie: CloudFront-Key-Pair-Id=K1;.*\n$`: {"--cookies", "--resource", "https://api.example.test/*"},
	} {
		got := printed(t, append([]string{"sign", u, "--key", signKey, "--id", "K1", "--expires", "2030-03-17T17:46:40Z"}, more...)...)
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%v: %s", more, got)
		}
	}
}

func TestSignSaysWhatIsWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"is no URL of an edge; expected one such as https://":   {"http://a.test/", "--key", signKey, "--expires", "1h"},
		"found no private key; expected a PEM file":             {"https://a.test/", "--key", "sign.go", "--expires", "1h"},
		"expected a duration such as 1h, a time such as":        {"https://a.test/", "--key", signKey, "--expires", "tomorrow"},
		"a canned policy is for one URL, and * would stand for": {"https://a.test/*", "--key", signKey, "--expires", "1h"},
	} {
		code, text := said(t, append([]string{"sign", "--id", "K1"}, args...)...)
		if code != 2 || !strings.Contains(text, want) {
			t.Errorf("%v: exit %d, %s", args, code, text)
		}
	}
}
