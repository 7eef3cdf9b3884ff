package conduit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// callTimeout bounds one call, from dialing to the last byte.
const callTimeout = 20 * time.Second

// A Client asks one door of the API, as one user or as nobody.
type Client struct {
	Base   string       // such as https://api.example.test:8443, without a slash at the end
	HTTP   *http.Client // how to get there; its jar, if any, keeps the consistency token
	Token  string       // "" for nobody
	Scheme string       // of the Authorization header; "" is the API's own, Token
}

// An Endpoint is one door of an API that has several: the name that all share,
// and the address of this one.
type Endpoint struct {
	Domain string
	Addr   string // host:port
	Roots  *x509.CertPool
}

// At returns a client for one door. Clients with the same jar are one caller
// who moves between doors; nil keeps no cookies. Close ends its connections.
func At(e Endpoint, jar http.CookieJar) (*Client, error) {
	_, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", e.Domain, err)
	}
	var dialer net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, e.Addr)
		},
		TLSClientConfig:     &tls.Config{RootCAs: e.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
	}
	return &Client{
		Base: "https://" + net.JoinHostPort(e.Domain, port),
		HTTP: &http.Client{Transport: transport, Jar: jar, Timeout: callTimeout},
	}, nil
}

// As returns a client of the same door for the user with that token.
func (c *Client) As(token string) *Client {
	as := *c
	as.Token = token
	return &as
}

// Close ends the idle connections.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// An Answer is what came back, whatever its status.
type Answer struct {
	Call   string // the request, for messages
	Status int
	Header http.Header
	Body   []byte
	value  any
}

// Do sends one request. A body that is not nil is sent as JSON; a string is
// sent as it is. An error means that no whole answer came.
func (c *Client) Do(ctx context.Context, method, path string, body any) (*Answer, error) {
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", cmp.Or(c.Scheme, "Token")+" "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &Answer{Call: method + " " + path, Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", a.Call, err)
	}
	if len(a.Body) > 0 && json.Unmarshal(a.Body, &a.value) != nil {
		a.value = nil
	}
	return a, nil
}

// Get returns the value at a path of member names and indexes, such as
// articles.0.slug, and whether it is there; null is there.
func (a *Answer) Get(path string) (any, bool) {
	v := a.value
	for _, step := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// Text returns the string at a path, "" if there is none.
func (a *Answer) Text(path string) string {
	v, _ := a.Get(path)
	text, _ := v.(string)
	return text
}

func (a *Answer) String() string {
	return fmt.Sprintf("%s answered %d %.300s", a.Call, a.Status, a.Body)
}
