package conduit_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// TestLoadProgramPassesAndNoticesAWrongAnswer runs test/load against two doors
// to the functions: once as they are, and once with an edge that shows old
// text, which must end with status 1 and name that edge.
func TestLoadProgramPassesAndNoticesAWrongAnswer(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "load")
	if out, err := exec.Command("go", "build", "-o", program, "meridian/test/load").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	functions := apps(t, database(t))
	stale := func(key string, a *events.APIGatewayV2HTTPResponse) {
		if key == "GET /api/articles/{slug}" {
			a.Body = strings.Replace(a.Body, `"body":"`, `"body":"old `, 1)
		}
	}
	good := httptest.NewTLSServer(handler(t, functions, nil))
	defer good.Close()
	bad := httptest.NewTLSServer(handler(t, functions, stale))
	defer bad.Close()

	load := func(second *httptest.Server) (string, error) {
		status := world(t, good, second)
		out, err := exec.Command(program, "--status", status, "--duration", "1s", "--rate", "40", "--callers", "4").CombinedOutput()
		return string(out), err
	}
	if out, err := load(good); err != nil || !strings.Contains(out, "publish") {
		t.Errorf("two good doors: %v\n%s", err, out)
	}
	if out, err := load(bad); err == nil || !strings.Contains(out, "read at second: article.body is old") {
		t.Errorf("a stale door: %v\n%s", err, out)
	}
}

// world writes a status file with two edges and returns its name. The servers
// of httptest share a certificate for example.com.
func world(t *testing.T, first, second *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Certificate().Raw})
	edge := func(name string, s *httptest.Server) map[string]string {
		return map[string]string{"name": name, "https": s.Listener.Addr().String()}
	}
	status, err := json.Marshal(map[string]any{"domain": "example.com", "ca": ca,
		"edges": []any{edge("first", first), edge("second", second)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{ca: block, filepath.Join(dir, "status.json"): status} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "status.json")
}
