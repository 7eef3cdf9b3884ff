package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/client"
)

func TestCertificatesAreShownForPeople(t *testing.T) {
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	added := client.Certificate{Name: "api.example.test", Source: "upload", Names: []string{"api.example.test", "*.api.example.test"}, Issuer: "CN=R11", NotAfter: end,
		Edges: 4, Waiting: map[string]string{"sa-east-1/edge": "it does not answer"}, Notes: []string{"it ends in 9 days"}}
	failed := client.Certificate{Name: "api.example.test", Source: "acme", Names: []string{}, Error: "no answer from the directory", Next: end}
	file := client.Certificate{Name: "/etc/tls/chain.pem", Source: "file", Names: []string{"api.example.test"}, Issuer: "CN=home", NotAfter: end}
	brief := client.Certificate{Name: "origin.api.example.test", Source: "acme", Names: []string{"origin.api.example.test"}, Issuer: "CN=YE1", NotBefore: end.Add(-time.Hour), NotAfter: end, Edges: 5, Next: end.Add(-20 * time.Minute)}
	var out strings.Builder
	if err := printCerts(&out, []client.Certificate{added, failed, brief, file}); err != nil {
		t.Fatal(err)
	}
	if err := printCertAdded(&out, added); err != nil {
		t.Fatal(err)
	}
	const want = `NAME                      FROM     FOR                                   ISSUER    ENDS                  EDGES   STATE
api.example.test          upload   api.example.test,*.api.example.test   CN=R11    2027-01-02            4/5     sa-east-1/edge: it does not answer; it ends in 9 days
api.example.test          acme     -                                     -         -                     -       no answer from the directory; next try 2027-01-02 03:04:05
origin.api.example.test   acme     origin.api.example.test               CN=YE1    2027-01-02 03:04:05   5/5     good; renewed at 2027-01-02 02:44:05
/etc/tls/chain.pem        file     api.example.test                      CN=home   2027-01-02            -       good
api.example.test is for api.example.test, *.api.example.test, until 2027-01-02; the edges show it now
note: it ends in 9 days
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAMistakeInAnUploadNamesItsFile(t *testing.T) {
	c := certAddCmd{Cert: "chain.pem", Key: "key.pem"}
	for why, want := range map[string]string{
		"certificate: found nothing, want PEM":          "chain.pem: found nothing, want PEM",
		"certificate: its key: found nothing, want PEM": "key.pem: found nothing, want PEM",
	} {
		if got := c.placed(why).Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
