package store

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
)

// TestWhoIsNoMemberPassesOnATryAtOnce: whoever tries a write there has another
// member to ask, and may be it itself, a moment after its start. One that is about
// to be a member again, the control, is waited for.
func TestWhoIsNoMemberPassesOnATryAtOnce(t *testing.T) {
	for name, x := range map[string]struct {
		member string
		waits  bool
	}{"none": {"b", false}, "control: one": {"a", true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				m, err := NewMember(MemberConfig{Dir: dir, Name: x.member, Peers: map[string]string{"a": ""}, Names: []string{"a", "b"}}, Deps{})
				if err != nil {
					t.Fatal(err)
				}
				if x.waits {
					makeFounded(t, m)
				}
				began := time.Now()
				w := httptest.NewRecorder()
				m.serveTry(w, httptest.NewRequest(http.MethodPost, tryPath, strings.NewReader(`{"key":"k","value":"dg==","old":0}`)))
				var f failure
				if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != http.StatusServiceUnavailable || f.Kind != meridian.Unavailable {
					t.Errorf("%d %s, %v", w.Code, w.Body, err)
				}
				if waited := time.Since(began) > 0; waited != x.waits {
					t.Errorf("answered after %v", time.Since(began))
				}
			})
		})
	}
}

// makeFounded makes a member look as if it had been one before.
func makeFounded(t *testing.T, m *Member) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(m.data(), "member", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
}
