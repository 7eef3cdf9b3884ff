package h3conn

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheMethodIsDeclaredAsItIsCalled reads quic-go's source.
func TestTheMethodIsDeclaredAsItIsCalled(t *testing.T) {
	const want = "func(conn *quic.Conn) (*RawServerConn, *quic.SendStream, error)"
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/quic-go/quic-go/http3").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "server.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "newRawServerConn" || fn.Recv == nil {
			continue
		}
		var b strings.Builder
		printer.Fprint(&b, token.NewFileSet(), fn.Type)
		if b.String() != want {
			t.Errorf("declared as %s, want %s", b.String(), want)
		}
		return
	}
	t.Error("there is no such method")
}
