package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"meridian"
	"meridian/client"
	"meridian/world"
)

// admin returns a client of the world's admin API. The record is empty for a
// production world.
func admin(g *Global) (*client.Client, world.Record, error) {
	r := world.Record{Admin: g.Admin, Token: g.Token}
	if g.Admin == "" {
		var err error
		if r, err = world.Read(g.State); err != nil {
			return nil, r, err
		}
	}
	token, err := os.ReadFile(r.Token)
	if err != nil {
		return nil, r, fmt.Errorf("read the admin token: %w", err)
	}
	return client.New(r.Admin, strings.TrimSpace(string(token))), r, nil
}

type drainCmd struct {
	Region string `arg:"" placeholder:"REGION"`
	Yes    bool   `help:"Do not ask." short:"y"`
}

func (c *drainCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "drain "+c.Region+": new requests will go to other regions"); err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	if err := a.Drain(ctx, meridian.Region(c.Region), true); err != nil {
		return err
	}
	fmt.Printf("%s is drained: requests go to other regions; `meridian undrain %s` lets it back in\n", c.Region, c.Region)
	return nil
}

type undrainCmd struct {
	Region string `arg:"" placeholder:"REGION"`
}

func (c *undrainCmd) Run(ctx context.Context, a *client.Client) error {
	if err := a.Drain(ctx, meridian.Region(c.Region), false); err != nil {
		return err
	}
	fmt.Printf("%s takes requests again\n", c.Region)
	return nil
}

type switchoverCmd struct {
	Region string   `arg:"" placeholder:"REGION"`
	Yes    bool     `help:"Do not ask." short:"y"`
	Wait   patience `help:"End no session: wait for those that cannot move (10s, or --wait=DURATION), then give up." placeholder:"DURATION"`
}

// A patience is a flag that may have a duration: --wait, or --wait=20s.
type patience time.Duration

const defaultPatience = patience(10 * time.Second)

// IsBool lets the flag stand alone.
func (*patience) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (p *patience) Decode(ctx *kong.DecodeContext) error {
	*p = defaultPatience
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	said := fmt.Sprint(ctx.Scan.Pop().Value)
	d, err := time.ParseDuration(said)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q: expected a duration such as 20s", said)
	}
	*p = patience(d)
	return nil
}

func (c *switchoverCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "move the primary to "+c.Region+": writes pause for a moment, and nothing is lost"); err != nil {
		return err
	}
	return move(ctx, g, c.Region, client.Move{Wait: time.Duration(c.Wait)})
}

type failoverCmd struct {
	Region string `arg:"" placeholder:"REGION"`
	Yes    bool   `help:"Do not ask." short:"y"`
}

func (c *failoverCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "give the writes to "+c.Region+" whether the primary agrees or not: what has not been replicated there is lost"); err != nil {
		return err
	}
	return move(ctx, g, c.Region, client.Move{Force: true})
}

func move(ctx context.Context, g *Global, to string, how client.Move) error {
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	m, err := a.Move(ctx, meridian.Region(to), how)
	if err != nil {
		return err
	}
	fmt.Print(m.Why)
	if m.Pause > 0 {
		fmt.Printf("; writes paused for %v, %d sessions could not move", m.Pause.Round(time.Millisecond), m.Killed)
	}
	fmt.Println()
	return nil
}

type durabilityCmd struct {
	Mode []string `arg:"" optional:"" placeholder:"MODE" help:"async, quorum, sync: REGION or rpo: TIME."`
	Yes  bool     `help:"Do not ask." short:"y"`
}

func (c *durabilityCmd) Run(ctx context.Context, a *client.Client) error {
	if len(c.Mode) == 0 {
		s, err := a.Status(ctx)
		if err != nil {
			return err
		}
		if s.Durability == nil {
			return fmt.Errorf("this world has no database")
		}
		fmt.Print(s.Durability.Now)
		if s.Durability.Next != "" {
			fmt.Printf(", becoming %s", s.Durability.Next)
		}
		fmt.Println()
		return nil
	}
	d, err := meridian.ParseDurability(strings.Join(c.Mode, " "))
	if err != nil {
		return err
	}
	if err := confirm(c.Yes, "acknowledge commits by durability "+d.String()+" from now on"); err != nil {
		return err
	}
	now, err := a.SetDurability(ctx, d)
	if err != nil {
		return err
	}
	fmt.Printf("durability is %s\n", now.Now)
	return nil
}

type lostWritesCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *lostWritesCmd) Run(ctx context.Context, a *client.Client) error {
	lost, err := a.LostWrites(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(lost)
	}
	if len(lost) == 0 {
		fmt.Println("no acknowledged write is known to be lost")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REGION\tTIMELINE\tCOMMIT\tTRANSACTION\tHANDLE\tFOUND")
	for _, l := range lost {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\n", l.Region, l.Timeline, l.LSN, l.XID, cmp.Or(l.Handle, "-"), l.Kept.Format(time.DateTime))
	}
	return w.Flush()
}

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make an API key, and show it this once."`
	List   keysListCmd   `cmd:"" help:"List the API keys."`
	Revoke keysRevokeCmd `cmd:"" help:"Make a key worthless in all regions."`
}

type keysCreateCmd struct {
	Name string `arg:"" help:"For people." placeholder:"NAME"`
	JSON bool   `help:"Print JSON: id, name, key."`
}

func (c *keysCreateCmd) Run(ctx context.Context, a *client.Client) error {
	k, err := a.CreateKey(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(k)
	}
	fmt.Printf("id   %s\nkey  %s\n\nThe key is shown this once. Send it as the header x-api-key.\n", k.ID, k.Key)
	return nil
}

type keysListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *keysListCmd) Run(ctx context.Context, a *client.Client) error {
	keys, err := a.Keys(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(keys)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tCREATED\tSTATE")
	for _, k := range keys {
		state := "good"
		if k.Revoked {
			state = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Created.Format(time.DateTime), state)
	}
	return w.Flush()
}

type keysRevokeCmd struct {
	ID  string `arg:"" placeholder:"ID"`
	Yes bool   `help:"Do not ask." short:"y"`
}

func (c *keysRevokeCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "revoke key "+c.ID+": whoever uses it is refused, everywhere, for good"); err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	k, err := a.RevokeKey(ctx, c.ID)
	if err != nil {
		return err
	}
	fmt.Printf("key %s (%s) is revoked\n", k.ID, k.Name)
	return nil
}

// confirm asks, unless yes.
func confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s. Go on? [y/N] ", what)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return fmt.Errorf("not done; --yes does it without asking")
	}
	return nil
}

type psqlCmd struct {
	Region string   `help:"Default: the primary." placeholder:"R"`
	Args   []string `arg:"" optional:"" passthrough:"" help:"For psql."`
}

func (c *psqlCmd) Run(ctx context.Context, a *client.Client) error {
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range s.Regions {
		names = append(names, r.Name)
		if r.Name != c.Region && (c.Region != "" || !r.Primary) {
			continue
		}
		if r.Postgres == "" {
			return fmt.Errorf("this world has no database")
		}
		args := c.Args
		if len(args) > 0 && args[0] == "--" { // what comes after is psql's
			args = args[1:]
		}
		cmd := exec.CommandContext(ctx, "psql", append([]string{r.Postgres}, args...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
	return fmt.Errorf("there is no region %q; expected one of %s", c.Region, strings.Join(names, ", "))
}
