package lambda_test

import (
	"testing"

	"meridian/lambda"
)

func TestUnmodifiedFunctionAnswers(t *testing.T) {
	fn := function(t, "hello")
	fn.Min = 1
	h := run(t, lambda.Config{Functions: []lambda.Function{fn}}, lambda.Deps{})
	for _, text := range []string{"one", "two"} {
		if r := h.must("hello", "do", "echo", "text", text); r.Text != text {
			t.Errorf("got %q, want %q", r.Text, text)
		}
	}
}
