package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meridian"
	"meridian/client"
)

type certCmd struct {
	Add    certAddCmd    `cmd:"" help:"Give all edges a certificate: checked first, in use within a second, without a failed handshake."`
	List   certListCmd   `cmd:"" help:"List the certificates: names, issuer, end, where from, and how many edges show them."`
	Issue  certIssueCmd  `cmd:"" help:"Get a new certificate now from the authority that the file names (certificates: [{acme: {}}])."`
	Revoke certRevokeCmd `cmd:"" help:"Refuse a client's certificate at every edge, for good; without SERIAL, list those."`
	Remove certRemoveCmd `cmd:"" help:"Take a certificate that was added from all edges."`
}

type certAddCmd struct {
	Cert string `arg:"" help:"PEM file: the certificate, then its intermediates." placeholder:"CERT" type:"existingfile"`
	Key  string `arg:"" help:"PEM file: the private key." placeholder:"KEY" type:"existingfile"`
	Name string `help:"Call it so, and replace what is called so. Default: its first DNS name." placeholder:"NAME"`
	JSON bool   `help:"Print JSON."`
}

func (c *certAddCmd) Run(ctx context.Context, g *Global) error {
	chain, err := os.ReadFile(c.Cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	done, err := a.AddCertificate(ctx, client.NewCertificate{Name: c.Name, Chain: string(chain), Key: string(key)})
	if meridian.KindOf(err) == meridian.Invalid {
		return mistake{c.placed(err.Error())}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(done)
	}
	return printCertAdded(os.Stdout, done)
}

// placed names the file in which a mistake is.
func (c *certAddCmd) placed(why string) error {
	why = strings.TrimPrefix(why, "certificate: ")
	if why, ok := strings.CutPrefix(why, "its key: "); ok {
		return fmt.Errorf("%s: %s", c.Key, why)
	}
	return fmt.Errorf("%s: %s", c.Cert, why)
}

func printCertAdded(out io.Writer, c client.Certificate) error {
	_, err := fmt.Fprintf(out, "%s is for %s, until %s; the edges show it now\n", c.Name, strings.Join(c.Names, ", "), c.NotAfter.UTC().Format(time.DateOnly))
	for _, n := range c.Notes {
		fmt.Fprintf(out, "note: %s\n", n)
	}
	return err
}

type certListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *certListCmd) Run(ctx context.Context, a *client.Client) error {
	all, err := a.Certificates(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	return printCerts(os.Stdout, all)
}

func printCerts(out io.Writer, all []client.Certificate) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tFROM\tFOR\tISSUER\tENDS\tEDGES\tSTATE")
	for _, c := range all {
		ends := "-"
		switch {
		case c.NotAfter.IsZero():
		case c.NotAfter.Sub(c.NotBefore) < 48*time.Hour: // of certificates of hours the hour matters
			ends = c.NotAfter.UTC().Format(time.DateTime)
		default:
			ends = c.NotAfter.UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Source, orDash(strings.Join(c.Names, ",")), orDash(c.Issuer), ends, edgesOf(c), certState(c))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// edgesOf says how many edges show a certificate, of those that should.
func edgesOf(c client.Certificate) string {
	if c.Source == "file" || len(c.Names) == 0 { // or there is none yet
		return "-"
	}
	return fmt.Sprintf("%d/%d", c.Edges, c.Edges+len(c.Waiting))
}

// certState says what is worth knowing of a certificate.
func certState(c client.Certificate) string {
	var parts []string
	if c.Error != "" {
		parts = append(parts, c.Error)
	}
	if !c.Next.IsZero() && c.Error != "" {
		parts = append(parts, "next try "+c.Next.UTC().Format(time.DateTime))
	}
	var nodes []string
	for node := range c.Waiting {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		parts = append(parts, node+": "+c.Waiting[node])
	}
	if parts = append(parts, c.Notes...); len(parts) == 0 {
		parts = append(parts, "good")
	}
	if !c.Next.IsZero() && c.Error == "" {
		parts = append(parts, "renewed at "+c.Next.UTC().Format(time.DateTime))
	}
	return strings.Join(parts, "; ")
}

type certRemoveCmd struct {
	Name string `arg:"" placeholder:"NAME"`
	Yes  bool   `help:"Do not ask." short:"y"`
}

func (c *certRemoveCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "take certificate "+c.Name+" from all edges: they show the next best one"); err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	if err := a.RemoveCertificate(ctx, c.Name); err != nil {
		return err
	}
	fmt.Printf("%s is gone from all edges\n", c.Name)
	return nil
}

type certIssueCmd struct {
	Name string `arg:"" optional:"" help:"The domain. Default: the world's." placeholder:"NAME"`
}

func (c *certIssueCmd) Run(ctx context.Context, a *client.Client) error {
	if c.Name == "" {
		s, err := a.Status(ctx)
		if err != nil {
			return err
		}
		c.Name = s.Domain
	}
	begin := time.Now()
	if err := a.IssueCertificate(ctx, c.Name); err != nil {
		return fmt.Errorf("issue a certificate for %s: %w", c.Name, err)
	}
	fmt.Printf("%s has a new certificate, after %v; `meridian cert list` shows it\n", c.Name, time.Since(begin).Round(time.Millisecond))
	return nil
}

type certRevokeCmd struct {
	Serial string `arg:"" optional:"" help:"Its serial number, hexadecimal, as openssl x509 -serial prints it." placeholder:"SERIAL"`
	Why    string `help:"For people." placeholder:"TEXT"`
	Yes    bool   `help:"Do not ask." short:"y"`
}

func (c *certRevokeCmd) Run(ctx context.Context, g *Global) error {
	if c.Serial == "" {
		return listRevoked(ctx, g)
	}
	if _, err := client.ParseSerial(c.Serial); err != nil {
		return mistake{err}
	}
	if err := confirm(c.Yes, "revoke the client's certificate "+c.Serial+": whoever shows it is refused, everywhere, for good"); err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	done, err := a.RevokeClient(ctx, client.RevokedClient{Serial: c.Serial, Why: c.Why})
	if meridian.KindOf(err) == meridian.Invalid {
		return mistake{err}
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s is revoked at every edge\n", done.Serial)
	return nil
}

func listRevoked(ctx context.Context, g *Global) error {
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	all, err := a.RevokedClients(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "SERIAL\tREVOKED\tWHY")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Serial, r.At.UTC().Format(time.DateTime), orDash(r.Why))
	}
	return w.Flush()
}
