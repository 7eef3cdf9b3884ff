package edge

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/edge/cache"
	"meridian/edge/geo"
)

// What a behaviour asks for is told, and nothing else; what the viewer says of
// itself is not believed, whether it is asked for or not.
func TestAnOriginIsToldOfTheViewerWhatItAskedFor(t *testing.T) {
	db, err := geo.Open("geo/testdata/country.mmdb", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g, saw := capturing()
	w := newWorld(t, []*region{g}, func(c *Config, d *Deps, _ *world) {
		d.Geo = db
		c.Behaviors = []Behavior{
			{Path: "/all", Viewer: ViewerHeaders()},
			{Path: "/policy", Request: RequestPolicy{Name: "p", Headers: allow("Cloudfront-Viewer-Country")}},
			{Path: "/key", Cache: &cache.Policy{Name: "k", Headers: allow("Cloudfront-Is-Mobile-Viewer")}},
			{Path: "/none"},
		}
	})
	told := func(path string) http.Header {
		w.do("GET", path, "", "User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Mobile", "CloudFront-Viewer-Country", "XX", "CloudFront-Is-Tablet-Viewer", "true", "CloudFront-Viewer-Made-Up", "1", "CloudFront-Own", "mine")
		h := http.Header{}
		for name, v := range (<-saw).Header {
			if strings.HasPrefix(name, viewerPrefix) {
				h[name] = v
			}
		}
		return h
	}
	for path, want := range map[string]string{
		"/none": "map[Cloudfront-Own:[mine]]", "/policy": "map[Cloudfront-Viewer-Country:[AQ]]", "/key": "map[Cloudfront-Is-Mobile-Viewer:[true] Cloudfront-Own:[mine]]",
	} {
		if got := fmt.Sprint(told(path)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	h := told("/all")
	for name, want := range map[string]string{
		"Viewer-Country": "AQ", "Viewer-Http-Version": `2\.0`, "Viewer-Tls": "TLSv1.3:TLS_AES_128_GCM_SHA256:(fullHandshake|sessionResumed)", "Viewer-Address": `127\.0\.0\.1:\d+`, "Forwarded-Proto": "https",
		"Is-Mobile-Viewer": "true", "Is-Ios-Viewer": "true", "Is-Tablet-Viewer": "false", "Is-Android-Viewer": "false", "Is-Desktop-Viewer": "false", "Is-Smarttv-Viewer": "false",
		"Viewer-Header-Count": `[67]`, "Viewer-City": "", "Viewer-Made-Up": "", "Viewer-Ja3-Fingerprint": "[0-9a-f]{32}", "Viewer-Ja4-Fingerprint": "t13d[0-9]{4}h[0-9]_[0-9a-f]{12}_[0-9a-f]{12}",
	} {
		if got := h.Get(viewerPrefix + name); !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
	if again := told("/all"); again.Get("Cloudfront-Viewer-Ja4-Fingerprint") != h.Get("Cloudfront-Viewer-Ja4-Fingerprint") {
		t.Error("one client has two fingerprints")
	}
}

func TestADeviceIsWhatItsUserAgentSays(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1": "ios mobile",
		"Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148":                       "ios tablet",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36":          "android mobile",
		"Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 Chrome/120.0 Safari/537.36":                 "android tablet",
		"Mozilla/5.0 (Linux; Android 9; BRAVIA 4K) AppleWebKit/537.36 Chrome/120.0 Safari/537.36":                "android tv",
		"Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 Version/6.0 TV Safari/537.36":               "tv",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36":                "desktop",
		"Mozilla/5.0 (Linux; Android 9; AFTMM) AppleWebKit/537.36 Chrome/100.0 Safari/537.36":                    "android tv",
		"Mozilla/5.0 (Linux; Android 11; AFTKA Build/RS8101) AppleWebKit/537.36 Silk/110.1 like Chrome/110":      "android tv",
		"Mozilla/5.0 (Linux; Android 12; Chromecast) AppleWebKit/537.36 Chrome/100.0 Safari/537.36":              "android tv",
		"Mozilla/5.0 (Windows NT 10.0) draft after/1.0":                                                          "desktop",
		"curl/8.5.0": "desktop",
		"":           "desktop",
	} {
		d := deviceOf(agent)
		var got []string
		for name, is := range map[string]bool{"android": d.android, "ios": d.ios, "mobile": d.mobile, "tablet": d.tablet, "tv": d.tv, "desktop": d.desktop()} {
			if is {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", agent, s, want)
		}
	}
}

// The hello is that of the example in JA4's specification (FoxIO, "JA4: TLS Client
// Fingerprinting"), of which the result is published.
func TestJA4IsThatOfItsSpecification(t *testing.T) {
	h := &hello{
		version: 0x0304, named: true, protocol: [2]byte{'h', '2'},
		ciphers:    []uint16{0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		extensions: []uint16{0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		schemes:    []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	if got := h.ja4(); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Error(got)
	}
}

// A version that is none, which may be the highest that is offered, keeps the
// fingerprint's form, as the specification has it.
func TestAVersionThatIsNoneIsTwoZeros(t *testing.T) {
	for version, want := range map[uint16]string{0x7f1c: "t00", 0: "t00", 0x0303: "t12", 0x0300: "ts3"} {
		if got := (&hello{version: version}).ja4(); got != want+"i000000_000000000000_000000000000" {
			t.Errorf("%x: %s", version, got)
		}
	}
}

// The examples of JA4's specification for names of protocols that are no words.
func TestProtocolsThatAreNoWordsStandInHexadecimal(t *testing.T) {
	for name, want := range map[string]string{
		"h2": "h2", "http/1.1": "h1", "h": "hh", "\xab": "ab", "\xab\xcd": "ad", "0\xab": "3b", "01\xab\xcd": "3d", "0\xab\xcd1": "01", "\r\n": "0a", "a\n": "6a",
	} {
		if got := ends(name); string(got[:]) != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// FuzzHello: whatever a client offers, its fingerprints are words of the form that
// they have, and JA4 does not change with the order of ciphers and extensions.
func FuzzHello(f *testing.F) {
	f.Add([]byte{0x13, 0x01, 0x0a, 0x0a, 0xc0, 0x2f}, []byte{0, 0, 0, 16, 0, 43}, []byte{4, 3}, []byte{3, 4}, "h2", "a.test")
	f.Add([]byte{}, []byte{}, []byte{}, []byte{0x7f, 0x1c, 3, 4}, "\r\n", "")
	f.Add([]byte{0x13}, []byte{1}, []byte{}, []byte{0xfe, 0xff, 3, 3, 0xfa, 0xfa}, "\xff", "x")
	three, four := regexp.MustCompile(`^[0-9a-f]{32}$`), regexp.MustCompile(`^t(1[0-3]|s[23]|d[123]|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)
	pairs := func(b []byte) (out []uint16) {
		for ; len(b) > 1; b = b[2:] {
			out = append(out, binary.BigEndian.Uint16(b))
		}
		return out
	}
	f.Fuzz(func(t *testing.T, ciphers, extensions, schemes, versions []byte, protocol, name string) {
		info := &tls.ClientHelloInfo{CipherSuites: pairs(ciphers), Extensions: pairs(extensions), SupportedVersions: pairs(versions), SupportedProtos: []string{protocol}, ServerName: name}
		for _, s := range pairs(schemes) {
			info.SignatureSchemes = append(info.SignatureSchemes, tls.SignatureScheme(s))
		}
		h := offered(info)
		if !three.MatchString(h.ja3()) || !four.MatchString(h.ja4()) {
			t.Errorf("%q, %q", h.ja3(), h.ja4())
		}
		slices.Reverse(info.CipherSuites)
		slices.Reverse(info.Extensions)
		if again := offered(info); again.ja4() != h.ja4() {
			t.Errorf("%s, and in another order %s", h.ja4(), again.ja4())
		}
	})
}

func TestNothingIsKnownOfAConnectionWithoutAHello(t *testing.T) {
	if h := helloOf(context.Background()); h.ja3()+h.ja4() != "" {
		t.Error("something is known of it")
	}
}

// What is not asked for costs nothing.
func TestAViewerThatNobodyAsksForCostsNoAllocation(t *testing.T) {
	x := &exchange{Edge: &Edge{}, behavior: Match{Behavior: &Behavior{}}, r: &http.Request{Header: http.Header{"Accept": {"*/*"}}, RemoteAddr: "192.0.2.1:1"}}
	if n := testing.AllocsPerRun(100, x.describe); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
