package conduit

import (
	"net/http"
	"strings"
)

// OtherOrigins asks whether a page of any other origin may call the API with
// JSON and a token, as a browser would find out. It is no part of Suite: the
// hop in front of the application answers.
func OtherOrigins(t T, c *Client) {
	t.Helper()
	preflight := ask(t, c, http.MethodOptions, http.Header{
		"Access-Control-Request-Method":  {"PUT"},
		"Access-Control-Request-Headers": {"authorization,content-type"},
	})
	if preflight.StatusCode/100 != 2 {
		t.Fatalf("the preflight of a PUT is answered %s", preflight.Status)
	}
	for header, want := range map[string][]string{
		"Access-Control-Allow-Methods": {"GET", "POST", "PUT", "DELETE"},
		"Access-Control-Allow-Headers": {"authorization", "content-type"},
	} {
		for _, name := range want {
			if !strings.Contains(preflight.Header.Get(header), name) {
				t.Fatalf("%s of a preflight is %q, without %s", header, preflight.Header.Get(header), name)
			}
		}
	}
	for _, answer := range []*http.Response{preflight, ask(t, c, http.MethodGet, nil)} {
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Fatalf("Access-Control-Allow-Origin is %q, want *", got)
		}
	}
}

// ask sends a request for /api/user as a page of another origin would.
func ask(t T, c *Client, method string, h http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.Base+"/api/user", nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if h != nil {
		req.Header = h
	}
	req.Header.Set("Origin", "https://reader.example.test")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatalf("%s from another origin: %v", method, err)
	}
	resp.Body.Close()
	return resp
}
