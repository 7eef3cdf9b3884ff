package function

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestWhatIsThrownSaysItsTextWithinTheRun throws objects whose texts are made by
// code of their own: it is the run's, with its bounds, also where a function is
// loaded.
func TestWhatIsThrownSaysItsTextWithinTheRun(t *testing.T) {
	for name, thrown := range map[string]string{
		"it never ends":   `{ toString() { for (;;) ; } }`,
		"it throws":       `{ toString() { throw new Error('again') } }`,
		"it is too long":  `(() => { let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return a })()`,
		"it is no text":   `{ toString: 1 }`,
		"it has no text":  `Object.create(null)`,
		"it is a symbol":  `Symbol('x')`,
		"it is a promise": `Promise.reject({ toString() { for (;;) ; } })`,
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 2)
			go func() {
				e := function(t, runaway("throw "+thrown))
				_, err := e.Serve(context.Background(), "f", get("/bad"))
				done <- err
				_, err = New(Config{Functions: []Source{{Name: "f", File: "f.js", Code: []byte("throw " + thrown + "; function handler() {}")}}}, Deps{})
				done <- err
			}()
			for range 2 {
				select {
				case err := <-done:
					if err == nil || len(err.Error()) > 1000 {
						t.Errorf("%v", err)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("it is never told")
				}
			}
		})
	}
}

// A reason that a promise was rejected with is told likewise.
func TestAReasonIsToldWithinTheRun(t *testing.T) {
	e := function(t, runaway(`return Promise.reject({ get stack() { for (;;) ; } })`))
	if _, err := e.Serve(context.Background(), "f", get("/bad")); !errors.Is(err, errTime) {
		t.Error(err)
	}
	e = function(t, runaway(`return Promise.reject(new TypeError('no'))`))
	if _, err := e.Serve(context.Background(), "f", get("/bad")); err == nil || !strings.Contains(err.Error(), "TypeError: no at handler") {
		t.Error(err)
	}
}
