package world

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian"
	"meridian/config"
)

const twoPlaces = "regions: {us-east-1: {primary: true}}\nedges: [us-east-1, sa-east-1]\n"

// parse reads a world's file of which only the places matter.
func parse(t testing.TB, text string) *config.File {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse("meridian.yaml", dir, []byte("domain: api.example.test\napi: openapi.yaml\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// block finds a block in which no world would start by itself, and which is
// free now.
func block(t *testing.T, f *config.File) int {
	t.Helper()
	for b := 9; b > 0; b-- {
		if p := Plan(*f, b, ""); free(&p, b) == nil {
			return b
		}
	}
	t.Fatal("no block below 10 is free")
	return 0
}

// occupy listens at an address until the test ends.
func occupy(t *testing.T, network string, a netip.AddrPort) {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestATakenAddressOfAPinnedBlockIsNamed(t *testing.T) {
	f := parse(t, twoPlaces)
	b := block(t, f)
	if _, got, err := claim(*f, b, ""); err != nil || got != b {
		t.Fatalf("block %d: %v", got, err)
	}
	occupy(t, "tcp", netip.MustParseAddrPort(fmt.Sprintf("127.%d.2.1:8443", b)))
	want := fmt.Sprintf("sa-east-1/edge cannot listen on 127.%d.2.1:8443: address already in use", b)
	if _, _, err := claim(*f, b, ""); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestATakenNameServerPortIsSeenOverUDPToo(t *testing.T) {
	f := parse(t, twoPlaces)
	b := block(t, f)
	occupy(t, "udp", netip.MustParseAddrPort(fmt.Sprintf("127.%d.0.1:8053", b)))
	want := fmt.Sprintf("control cannot listen on 127.%d.0.1:8053, UDP: address already in use", b)
	if _, _, err := claim(*f, b, ""); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAWorldTakesTheFirstFreeBlock(t *testing.T) {
	f := parse(t, twoPlaces)
	_, first, err := claim(*f, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	occupy(t, "tcp", netip.MustParseAddrPort(fmt.Sprintf("127.%d.1.1:9443", first)))
	p, next, err := claim(*f, 0, "")
	if err != nil || next <= first {
		t.Fatalf("block %d after %d: %v", next, first, err)
	}
	if n, _ := p.Node(ControlNode); n.Address != netip.MustParseAddr(fmt.Sprintf("127.%d.0.1", next)) {
		t.Errorf("control is at %s", n.Address)
	}
}

func TestAWorldTooLargeForOneMachineIsRefused(t *testing.T) {
	f := config.File{Regions: []config.Region{{Name: "r", Primary: true}}}
	for n := range maxPlaces {
		f.Edges = append(f.Edges, meridian.Region(fmt.Sprint("e", n)))
	}
	if _, _, err := claim(f, 0, ""); err == nil || !strings.HasPrefix(err.Error(), "255 places;") {
		t.Errorf("got %v", err)
	}
	if _, _, err := claim(config.File{}, 300, ""); err == nil || err.Error() != "block 300; expected 1 to 250" {
		t.Errorf("got %v", err)
	}
}

// Two worlds that start at once must not take one block: nodes listen only when
// everything is built.
func TestABlockIsHeldFromTheMomentItIsTaken(t *testing.T) {
	f := parse(t, twoPlaces)
	_, first, held, err := take(*f, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	_, second, other, err := take(*f, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	if second == first {
		t.Errorf("block %d was taken twice", first)
	}
	held.Close() // the control: without the hold it is anybody's
	if _, again, err := claim(*f, first, ""); err != nil || again != first {
		t.Errorf("block %d: %v", again, err)
	}
}
