package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"meridian"
	"meridian/config"
	"meridian/edge"
	"meridian/gateway"
	"meridian/gateway/cors"
	"meridian/identity"
	"meridian/internal/handover"
	"meridian/postgres/instance"
)

// Config says which node of which file to run, and where it keeps its state.
type Config struct {
	File  *config.File
	Node  string
	State string // folder, absolute; its own
	Start string // names the start of an up world, whose file is the newest word; "" in production

	Program Program           // is started to take this process's place
	Next    *handover.Next    // this process takes another's place; nil: nobody's
	Sockets *handover.Sockets // that were handed over; nil: none
	Yielded func(pid int)     // hears which process has this one's place; may be nil
	Asked   Asked             // signals; not heard in an up world
}

// Asked are signals by which somebody asks for something. They are heard from the
// start of a process to its end: one that comes before the node waits for it, or
// after, stays where it is. nil channels are never asked.
type Asked struct {
	Restart <-chan os.Signal // SIGUSR2: the next process is to take this one's place
	Reload  <-chan os.Signal // SIGHUP: the file is to be read again
}

// Check finds the mistakes in what the file points at: the OpenAPI file, the
// keys of its authorizers, its certificates, what its origins are sent and
// believed by, whose signed URLs are trusted, its edge functions. It starts nothing.
func Check(f *config.File) error {
	if err := checkTheirs(f); err != nil {
		return err
	}
	_, keys := authorizers(f)
	var certs error
	if len(f.Pairs()) > 0 { // an up world has its own
		_, certs = certificates(f)
	}
	_, beside := origins(f)
	_, groups := keyGroups(f)
	_, asks := clients(f)
	_, places := places(f, slog.Default())
	_, stores := lanes(f)
	return errors.Join(checkAPI(f), keys, certs, beside, groups, asks, places, stores, checkEdgeFunctions(f))
}

// Able reports what this machine lacks to run every node of the file.
func Able(f *config.File) error {
	if f.Database == nil {
		return nil
	}
	_, err := instance.Find()
	return err
}

// Founded reports whether the node whose state is in that folder has a database
// already.
func Founded(state string) bool { return instance.Founded(databaseIn(state)) }

// databaseIn is where below its state a node keeps PostgreSQL.
func databaseIn(state string) string { return filepath.Join(state, "postgres") }

func checkAPI(f *config.File) error {
	api, err := os.ReadFile(f.API)
	if err != nil {
		return err
	}
	_, err = gateway.New(gatewayConfig(f, f.Primary(), api), gateway.Deps{Invoke: nobody{}, Log: slog.New(slog.DiscardHandler)})
	return err
}

// nobody is the invoker of a gateway that only reads its API.
type nobody struct{ gateway.Invoker }

// gatewayConfig returns what the file says of a region's gateway.
func gatewayConfig(f *config.File, region meridian.Region, api []byte) gateway.Config {
	c := gateway.Config{
		Region: region, Domain: f.Domain, API: api, APIPath: f.API,
		Functions: map[string]gateway.FunctionLimits{},
		Carriers:  carriers(f),
		Limits:    gateway.Limits{Header: int(f.Limits.Header), Body: int64(f.Limits.Body), Integration: f.Limits.Timeout},
	}
	if by := f.TLS.Clients; by != nil {
		c.Certificates = by.Mode != edge.ClientsPassthrough
	}
	if f.Database != nil {
		c.ReclaimUnwritten = f.Database.Idempotency.Reclaim
	}
	for _, fn := range f.Functions {
		c.Functions[fn.Name] = gateway.FunctionLimits{Timeout: fn.Timeout, AtOnce: fn.Max * fn.Concurrency}
	}
	for name := range f.Authorizers {
		c.Authorizers = append(c.Authorizers, name)
	}
	if f.CORS != nil {
		c.CORS = &cors.Config{
			AllowOrigins: f.CORS.AllowOrigins, AllowMethods: f.CORS.AllowMethods, AllowHeaders: f.CORS.AllowHeaders,
			ExposeHeaders: f.CORS.ExposeHeaders, AllowCredentials: f.CORS.AllowCredentials, MaxAge: f.CORS.MaxAge,
		}
	}
	return c
}

// carriers returns what the file says of the way of consistency tokens.
func carriers(f *config.File) meridian.Carriers {
	return meridian.Carriers{NoCookie: !f.Tokens.Cookie, NoHeader: !f.Tokens.Header}
}

// authorizers reads the keys of the file's JWT authorizers.
func authorizers(f *config.File) (out []identity.JWT, err error) {
	for name, a := range f.Authorizers {
		b, err := os.ReadFile(a.Keys)
		if err != nil {
			return nil, fmt.Errorf("authorizer %s: %w", name, err)
		}
		keys, err := identity.ParseKeys(b)
		if err != nil {
			return nil, f.At("authorizers."+name+".keys", fmt.Errorf("%s: %w", a.Keys, err))
		}
		out = append(out, identity.JWT{Name: name, Issuer: a.Issuer, Audience: a.Audience, Algorithms: a.Algorithms, Keys: keys})
	}
	return out, nil
}

// environment returns a function's own variables.
func environment(f *config.File, fn config.Function) (map[string]string, error) {
	out := map[string]string{}
	for name, v := range fn.Env {
		text, err := value(f, v)
		if err != nil {
			return nil, fmt.Errorf("function %s: variable %s: %w", fn.Name, name, err)
		}
		out[name] = text
	}
	return out, nil
}

// password returns the database role's password.
func password(f *config.File) (string, error) {
	if f.Database == nil {
		return "", nil
	}
	if f.Database.Password == "" {
		return "", meridian.WithKind(meridian.Invalid, fmt.Errorf("%s: database.password is missing; expected a file with the password of %s", f.Path, f.Database.Name))
	}
	b, err := os.ReadFile(f.Database.Password)
	if err != nil {
		return "", fmt.Errorf("password of the database: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// enter makes the node's folder the working folder: etcd's members find each
// other by socket names that are relative to it.
func enter(state string) error {
	if err := os.MkdirAll(state, 0o711); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	for dir := filepath.Dir(state); strings.HasSuffix(dir, "/nodes"); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755) // functions and PostgreSQL run as others and pass through
	}
	return os.Chdir(state)
}

// serverTLS returns the TLS of a listener that strangers reach.
func serverTLS(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"h2", "http/1.1", "http/1.0"}}
}
