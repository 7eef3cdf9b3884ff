package conduit_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/postgres/pgtest"
)

// database starts a server with the example's tables, and returns its address.
// The server and its files are gone when the test ends.
func database(t *testing.T) (url string) {
	t.Helper()
	server, err := pgtest.Start("conduit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop postgres: %v", err)
		}
	})
	url = server.URL("conduit", "conduit")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	migrate(t, conn)
	return url
}

func migrate(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	for _, file := range files {
		sql, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), string(sql)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}
