package geo

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func open(t testing.TB, path string, log *bytes.Buffer) *Database {
	t.Helper()
	d, err := Open(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAPlaceIsWhatTheDatabaseHas(t *testing.T) {
	country, city := open(t, "testdata/country.mmdb", new(bytes.Buffer)), open(t, "testdata/city.mmdb", new(bytes.Buffer))
	for a, want := range map[string]string{"192.0.2.1": "CH", "::ffff:192.0.2.1": "CH", "2001:db8::1": "BR", "203.0.113.1": "", "::1": ""} {
		p, ok := country.Find(netip.MustParseAddr(a).Unmap())
		if p.Code() != want || ok != (want != "") {
			t.Errorf("%s: %+v", a, p)
		}
	}
	p, _ := city.Find(netip.MustParseAddr("192.0.2.1"))
	if p.Code() != "CH" || p.City.Names.English != "Zürich" || p.Subdivisions[0].Code != "ZH" || *p.Location.Latitude != 47.37 || p.Location.Zone != "Europe/Zurich" || p.ASN != 64500 {
		t.Errorf("%+v", p)
	}
	if _, ok := city.Find(netip.Addr{}); ok {
		t.Error("no address is somewhere")
	}
}

// A newer file is taken without a restart, one that is broken or gone is not.
func TestABrokenDatabaseNeverReplacesAGoodOne(t *testing.T) {
	one, err := os.ReadFile("testdata/country.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile("testdata/city.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.mmdb")
	put := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		put(one)
		var log bytes.Buffer
		d := open(t, path, &log)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx, func() {}) }()
		asn := func() uint32 { p, _ := d.Find(netip.MustParseAddr("192.0.2.1")); return p.ASN }
		wait := func() { time.Sleep(every + time.Second); synctest.Wait() }
		synctest.Wait()
		torn := bytes.Clone(two[:len(two)-200])
		for _, bad := range [][]byte{{}, []byte("no database"), torn} {
			put(bad)
			wait()
			if p, ok := d.Find(netip.MustParseAddr("192.0.2.1")); !ok || p.Code() != "CH" || asn() != 0 {
				t.Errorf("after a broken file: %+v", p)
			}
		}
		os.Remove(path)
		wait()
		if n := strings.Count(log.String(), "was not taken"); n != 4 {
			t.Errorf("%d refusals told: %s", n, &log)
		}
		put(two)
		wait()
		if asn() != 64500 {
			t.Error("a good file was not taken")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := Open("geo.go", slog.Default()); err == nil || !strings.Contains(err.Error(), "expected a database in MaxMind's format") {
		t.Errorf("%v", err)
	}
}

func BenchmarkFind(b *testing.B) {
	d := open(b, "testdata/country.mmdb", new(bytes.Buffer))
	a := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		d.Find(a)
	}
}
