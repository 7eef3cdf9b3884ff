package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is wrong inside of a file is told with the place that names the file. Control:
// the same world without the mistakes is told of its API alone.
func TestAMistakeInAFileSaysWhereThatIsNamed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"junk": "junk", "good.js": "function handler(event) { return event.request; }", "other.js": "function hander(event) { return event.request; }",
		"throws.js": "const a = {}.b.c;\nfunction handler(event) { return event.request; }", "keys": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const bad = `origins: {a: {url: "https://a.example.test", ca: junk}}
trustedKeys: {K: junk}
certificates:
  - {cert: junk, key: junk}
tls: {clients: {mode: required, ca: junk}}
geo: junk
dynamicOrigins: {sign: [{hosts: [s3.example.test], credentials: junk}]}
edgeFunctions:
  good: {code: good.js}
  misspelt: {code: other.js}
  throws: {code: throws.js}
`
	err := Check(fileOf(t, dir, bad))
	if err == nil {
		t.Fatal("no mistake was found")
	}
	got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	for _, want := range []string{
		`meridian.yaml:4:50: origins.a.ca: junk has no certificate; expected a PEM file with certificates`,
		`meridian.yaml:5:18: trustedKeys.K: junk: found no public key; expected a PEM file that begins with -----BEGIN PUBLIC KEY-----`,
		`meridian.yaml:7:12: certificates[0].cert: junk: found no PEM block, want a PEM block CERTIFICATE`,
		`meridian.yaml:8:37: tls.clients.ca: junk: found no certificate, want a PEM block CERTIFICATE`,
		`meridian.yaml:9:6: geo: junk: error opening database: invalid MaxMind DB file; expected a database in MaxMind's format`,
		`meridian.yaml:10:65: dynamicOrigins.sign[0].credentials: junk: key-value delimiter not found: junk; expected a file as ~/.aws/credentials is`,
		`meridian.yaml:13:20: edgeFunctions.misspelt.code: function misspelt: other.js: no handler: expected function handler(event), or exports.handler`,
		`meridian.yaml:14:18: edgeFunctions.throws.code: function throws: TypeError: Cannot read property 'c' of undefined at <anonymous> (throws.js:1:15)`,
	} {
		if !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
			t.Errorf("not told: %s\nof\n%s", want, got)
		}
	}
	good := regexp.MustCompile(`(?m)^(origins|trustedKeys|certificates|  - |tls|geo|  misspelt|  throws).*\n`).ReplaceAllString(bad, "")
	err = Check(fileOf(t, dir, strings.ReplaceAll(good, "junk", "keys")))
	if err == nil || strings.Contains(err.Error(), "meridian.yaml:") {
		t.Errorf("without them: %v", err)
	}
}
