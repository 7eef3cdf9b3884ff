package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/client"
	"meridian/test/operator"
	"meridian/world"
)

// doors are the edges of a world, each with a client, and its admin API.
type doors struct {
	admin   *client.Client
	console string
	domain  string
	edges   map[string]*http.Client
	regions []string

	transports []*http.Transport
	tls        *tls.Config
	addrs      map[string]string
}

func open(ctx context.Context, w operator.World) (*doors, error) {
	s, err := w.Status(ctx)
	if err != nil {
		return nil, err
	}
	r, err := world.Read(w.State)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(r.Token)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d := &doors{
		admin: client.New(r.Admin, strings.TrimSpace(string(token))), console: s.Console, domain: s.Domain,
		edges: map[string]*http.Client{}, addrs: map[string]string{}, tls: &tls.Config{RootCAs: roots},
	}
	for _, e := range s.Edges {
		d.addrs[e.Name] = e.HTTPS
		d.edges[e.Name] = d.client(e.Name)
	}
	for _, g := range s.Regions {
		d.regions = append(d.regions, g.Name)
	}
	return d, nil
}

// client returns a client with an HTTP/2 connection of its own to an edge.
func (d *doors) client(edge string) *http.Client {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", d.addrs[edge])
		},
		TLSClientConfig: d.tls, ForceAttemptHTTP2: true,
	}
	d.transports = append(d.transports, t)
	return &http.Client{Transport: t, Timeout: 30 * time.Second}
}

func (d *doors) close() {
	for _, t := range d.transports {
		t.CloseIdleConnections()
	}
}

// An answer is what an edge said.
type answer struct {
	status int
	body   string
	cache  string // the edge's own member of Cache-Status
}

// fresh reports whether the edge answered from its memory, and takes that for
// fresh.
func (a answer) fresh() bool {
	return strings.Contains(a.cache, "; hit") && !strings.Contains(a.cache, "detail=") && !strings.Contains(a.cache, "ttl=-")
}

func (d *doors) ask(ctx context.Context, c *http.Client, method, path string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+d.domain+path, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	members := strings.Split(strings.Join(resp.Header["Cache-Status"], ","), ",")
	return answer{resp.StatusCode, string(body), strings.TrimSpace(members[len(members)-1])}, err
}

// everywhere asks all edges for a path, and returns what each said.
func (d *doors) everywhere(ctx context.Context, path string) (map[string]string, error) {
	out := map[string]string{}
	for edge, c := range d.edges {
		a, err := d.ask(ctx, c, http.MethodGet, path)
		if err != nil {
			return nil, fmt.Errorf("GET %s at %s: %w", path, edge, err)
		}
		if a.status != http.StatusOK {
			return nil, fmt.Errorf("GET %s at %s: status %d, %s", path, edge, a.status, a.body)
		}
		out[edge] = a.body
	}
	return out, nil
}

// warm is a path that each connection of a rush asks for first.
const warm = "/objects/warm"

// streams is how many requests one connection takes at once.
const streams = 200

// rush has n clients ask for a path at once, spread over all edges, and returns
// how many had each answer.
func (d *doors) rush(ctx context.Context, path string, n int) (map[string]int, error) {
	var clients []*http.Client
	for edge := range d.edges {
		for range (n/len(d.edges) + streams - 1) / streams {
			c := d.client(edge)
			if _, err := d.ask(ctx, c, http.MethodGet, warm); err != nil {
				return nil, err
			}
			clients = append(clients, c)
		}
	}
	var mu sync.Mutex
	got, failed := map[string]int{}, error(nil)
	var all sync.WaitGroup
	for i := range n {
		c := clients[i%len(clients)]
		all.Go(func() {
			a, err := d.ask(ctx, c, http.MethodGet, path)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("GET %s: status %d", path, a.status)
			}
			if err != nil {
				failed = err
				return
			}
			got[a.body]++
		})
	}
	all.Wait()
	return got, failed
}

// invocations counts what the functions of all regions were called for.
func (d *doors) invocations(ctx context.Context) (total int, err error) {
	for _, region := range d.regions {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.console+"/metrics?node="+region, nil)
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if line := lines.Text(); strings.HasPrefix(line, "meridian_lambda_invocations_total{") {
				n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
				if err != nil {
					return 0, err
				}
				total += int(n)
			}
		}
		resp.Body.Close()
	}
	return total, nil
}
