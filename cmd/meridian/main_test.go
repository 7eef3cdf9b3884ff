package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const worldFile = "domain: api.example.test\nregions: {us-east-1: {primary: true}}\napi: openapi.yaml\n"

const apiFile = `openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /:
    get:
      x-meridian-function: hello
      responses: {'200': {description: it}}
`

// said runs a command line, and returns its exit code and what it wrote to
// standard error.
func said(t *testing.T, args ...string) (code int, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	code = run(t.Context(), args) // what it says here fits into the pipe
	os.Stderr = stderr
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return code, string(b)
}

func TestMistakesExitWith2AndSayWhere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	api := write("openapi.yaml", apiFile)
	bundle := write("bundle", "#!/bin/sh\n")
	if err := os.Chmod(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	good := worldFile + "functions: {hello: {binary: " + bundle + "}}\n"
	for name, test := range map[string]struct {
		text string
		code int
		want []string
	}{
		"good":          {good, 0, nil},
		"unknown key":   {good + "egdes: []\n", 2, []string{"world.yaml:5:1: egdes: unknown key; expected edges"}},
		"two primaries": {strings.Replace(good, "{us-east-1", "{eu-west-1: {primary: true}, us-east-1", 1), 2, []string{"world.yaml:2:"}},
		"no function":   {worldFile, 2, []string{api + `:6:28: function "hello"; expected a function of the config`}},
		"certificate that is none": {good + "certificates: [{cert: openapi.yaml, key: openapi.yaml}]\n", 2,
			[]string{api + ": found no PEM block"}},
		"several at once": {worldFile + "certificates: [{cert: openapi.yaml, key: openapi.yaml}]\n", 2,
			[]string{api + `:6:28: function "hello"`, api + ": found no PEM block"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := write("world.yaml", test.text)
			for _, command := range [][]string{{"check", file}, {"up", "--state", filepath.Join(dir, "state"), file}} {
				if test.code == 0 && command[0] == "up" {
					continue // it would start
				}
				code, text := said(t, command...)
				if code != test.code || test.code == 0 && text != "" {
					t.Errorf("%v: exit code %d, want %d: %s", command[0], code, test.code, text)
				}
				for _, want := range test.want {
					if !strings.Contains(text, want) {
						t.Errorf("%v says %q, without %q", command[0], text, want)
					}
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
				t.Error("a refused file has left a state folder")
			}
		})
	}
}

func TestBadCommandLinesExitWith2(t *testing.T) {
	for _, args := range [][]string{
		{"frobnicate"}, {"up"}, {"up", "--block", "300", "x.yaml"}, {"status", "--stat", "x"}, {"fault"}, {"fault", "slow", "a", "b", "--by", "x"},
		{"cert", "revoke", "xyz"}, {"cert", "revoke", "11223344556677889900aabbccddeeff1122334455667788"},
	} {
		if code, text := said(t, args...); code != 2 || strings.Count(text, "\n") != 1 {
			t.Errorf("meridian %s: exit code %d: %q; want 2, and one line", strings.Join(args, " "), code, text)
		}
	}
}
