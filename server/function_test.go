package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/config"
)

// Credentials are read with the file, and a change of them alone is one of the
// file.
func TestCredentialsOfAStoreAreReadWithTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s3")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &config.File{DynamicOrigins: config.DynamicOrigins{Sign: []config.SignedOrigin{{Hosts: []string{"s3.example.test"}, Credentials: path, Region: "r", Methods: []string{"PUT"}}}}}
	put("[default]\naws_access_key_id = KEY\naws_secret_access_key = one\n")
	first, err := lanes(f)
	if err != nil || len(first.Signers) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	if s := first.Signers[0]; s.AccessKey != "KEY" || s.Secret != "one" || s.Region != "r" || s.Methods[0] != "PUT" || s.Hosts[0] != "s3.example.test" {
		t.Errorf("%+v", s)
	}
	was := contents(f)["dynamicOrigins"]
	if contents(f)["dynamicOrigins"] != was { // control
		t.Error("what did not change is another")
	}
	put("[default]\naws_access_key_id = KEY\naws_secret_access_key = two\n")
	if second, err := lanes(f); err != nil || second.Signers[0].Secret != "two" || contents(f)["dynamicOrigins"] == was {
		t.Errorf("a changed secret: %v", err)
	}
	for _, text := range []string{"", "[other]\naws_access_key_id = KEY\naws_secret_access_key = one\n", "[default]\naws_access_key_id = KEY\n", "nonsense\n"} {
		put(text)
		if _, err := lanes(f); err == nil || !strings.Contains(err.Error(), "dynamicOrigins.sign[0].credentials: "+path) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
