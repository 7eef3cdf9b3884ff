package lambda_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian"
	"meridian/lambda"
)

// The users that the tests run functions as, where they may.
const alice, bob = 61001, 61002

// two runs two functions as the given users.
func two(t *testing.T, aliceID, bobID int) (h *hop, a, b result) {
	fa, fb := function(t, "alice"), function(t, "bob")
	fa.UID, fb.UID = aliceID, bobID
	h = run(t, lambda.Config{Functions: []lambda.Function{fa, fb}}, lambda.Deps{})
	return h, h.must("alice", "do", "echo"), h.must("bob", "do", "echo")
}

// TestFunctionsOfOneUserAreNotKeptApart is what a node does that is not root,
// and the negative control of the test below: with the guard off, each of its
// attacks succeeds.
func TestFunctionsOfOneUserAreNotKeptApart(t *testing.T) {
	h, a, _ := two(t, 0, 0)
	if a.UID != os.Getuid() {
		t.Errorf("runs as %d", a.UID)
	}
	for what, err := range attacks(h, a) {
		if err != nil {
			t.Errorf("%s fails, so it proves nothing: %v", what, err)
		}
	}
}

func TestFunctionsWithUsersOfTheirOwnAreKeptApart(t *testing.T) {
	if os.Getuid() != 0 {
		// Only root can give processes away; what holds then is tested above.
		_, err := lambda.New(lambda.Config{Functions: []lambda.Function{{Name: "f", Bundle: "/b", UID: alice}}}, lambda.Deps{})
		wantKind(t, err, meridian.Internal, "root")
		return
	}
	h, a, b := two(t, alice, bob)
	if a.UID != alice || b.UID != bob {
		t.Errorf("run as %d and %d", a.UID, b.UID)
	}
	for what, err := range attacks(h, a) {
		if err == nil {
			t.Errorf("%s succeeds", what)
		}
	}
	// Nor may a function change what it will be started from next time.
	if r := h.invoke("alice", "do", "write", "text", filepath.Join(a.Dir, "bootstrap.new")); r.err == nil {
		t.Error("a function wrote into its own bundle")
	}
	h.must("alice", "do", "write", "text", filepath.Join(a.variable("TMPDIR"), "own"))
	h.must("alice", "do", "echo")
}

// attacks lets bob try to reach what is alice's.
func attacks(h *hop, a result) map[string]error {
	own := filepath.Join(a.variable("TMPDIR"), "secret")
	h.must("alice", "do", "write", "text", own)
	api := h.invoke("bob", "do", "get", "text", "http://"+a.variable("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/nothing")
	if api.err == nil && !strings.Contains(api.Text, "ResourceNotFound") {
		h.t.Errorf("the Runtime API said %q", api.Text)
	}
	return map[string]error{
		"reading the scratch folder": h.invoke("bob", "do", "read", "text", own).err,
		"reading the program":        h.invoke("bob", "do", "read", "text", filepath.Join(a.Dir, "bootstrap")).err,
		"calling the Runtime API":    api.err,
	}
}
