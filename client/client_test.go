package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian"
)

// The calls that succeed are tested with the real thing, in package admin.

func TestAnAdminAPIThatIsNotThereIsUnavailable(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	_, err := New(web.URL, "t").Status(t.Context())
	if meridian.KindOf(err) != meridian.Unavailable || !strings.HasPrefix(err.Error(), "the admin API does not answer: ") {
		t.Errorf("%v", err)
	}
}

func TestARefusalKeepsItsKindAndItsWords(t *testing.T) {
	for answer, want := range map[string]struct {
		kind meridian.Kind
		text string
	}{
		`{"message": "there is no region mars", "kind": "not found"}`: {meridian.NotFound, "there is no region mars"},
		`<html>`: {meridian.Internal, "the admin API answered 404 Not Found"},
		`{}`:     {meridian.Internal, "the admin API answered 404 Not Found"},
	} {
		c := answering(t, 404, answer)
		if err := c.Drain(t.Context(), "mars", true); meridian.KindOf(err) != want.kind || err.Error() != want.text {
			t.Errorf("%s: %s %v", answer, meridian.KindOf(err), err)
		}
	}
}

func TestAnAnswerThatCannotBeReadIsAnError(t *testing.T) {
	if _, err := answering(t, 200, "<html>").Keys(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "read the admin API's answer: ") {
		t.Errorf("%v", err)
	}
}

// TestANameCannotLeaveItsPath escapes what callers give.
func TestANameCannotLeaveItsPath(t *testing.T) {
	var paths []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.EscapedPath())
		io.WriteString(w, "{}")
	}))
	defer web.Close()
	c := New(web.URL+"/", "t")
	if err := c.Drain(t.Context(), "a/../b?c", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RevokeKey(t.Context(), "x y"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(paths, ", "); got != "DELETE /v1/drain/a%2F..%2Fb%3Fc, DELETE /v1/keys/x%20y" {
		t.Error(got)
	}
}

func answering(t *testing.T, code int, body string) *Client {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}))
	t.Cleanup(web.Close)
	return New(web.URL, "t")
}
