package function

import "testing"

// saysOf returns what a handler's expression is as a text, or the error's name.
func saysOf(t *testing.T, head, expression string) string {
	t.Helper()
	s := function(t, head+`{
		var said;
		try { said = String(`+expression+`); } catch (e) { said = e.name; }
		return {status: '200', statusCode: 200, body: said};
	}`)
	return string(serve(t, s, get("/")).Response.Body)
}

// TestPlacesSayWhatTheOriginalSays: CloudFront's runtime is njs, in which dates say
// the same in all languages, and nothing else has a toLocaleString; a function that
// looks whether it is there must see what it would see there.
func TestPlacesSayWhatTheOriginalSays(t *testing.T) {
	for expression, want := range map[string]string{
		"(1234.5).toLocaleString('en-US')":                                "TypeError",
		"typeof (1).toLocaleString":                                       "undefined",
		"typeof [1].toLocaleString":                                       "undefined",
		"typeof ({}).toLocaleString":                                      "undefined",
		"typeof Intl":                                                     "undefined",
		"new Date(0).toLocaleString('de') === new Date(0).toString()":     "true",
		"new Date(0).toLocaleDateString() === new Date(0).toDateString()": "true",
		"new Date(0).toLocaleTimeString() === new Date(0).toTimeString()": "true",
	} {
		if got := saysOf(t, "function handler(event)", expression); got != want {
			t.Errorf("CloudFront: %s is %q, want %q", expression, got, want)
		}
	}
}

// TestNodesNumbersAreWrittenAsInAmerica: and in no other way, rather than in a wrong
// one. What is wanted is what Node says.
func TestNodesNumbersAreWrittenAsInAmerica(t *testing.T) {
	for expression, want := range map[string]string{
		"(1234567.8915).toLocaleString('en-US')":                                         "1,234,567.892",
		"(1234.5).toLocaleString()":                                                      "1,234.5",
		"(999).toLocaleString()":                                                         "999",
		"(-1e21).toLocaleString()":                                                       "-1,000,000,000,000,000,000,000",
		"(1.005).toLocaleString('en', {maximumFractionDigits: 2})":                       "1.01",
		"(2.5).toLocaleString('en', {maximumFractionDigits: 0})":                         "3",
		"(1e-7).toLocaleString()":                                                        "0",
		"(5).toLocaleString(undefined, {minimumFractionDigits: 2})":                      "5.00",
		"(12345).toLocaleString('en-US', {useGrouping: false})":                          "12345",
		"(-0).toLocaleString()":                                                          "-0",
		"NaN.toLocaleString()":                                                           "NaN",
		"(-1 / 0).toLocaleString()":                                                      "-∞",
		"[1234, 5].toLocaleString()":                                                     "1,234,5",
		"(1).toLocaleString('en', {minimumFractionDigits: 101})":                         "RangeError",
		"(1).toLocaleString('en', {minimumFractionDigits: 2, maximumFractionDigits: 1})": "RangeError",
		"(1234.5).toLocaleString('de-DE')":                                               "Error",
		"(1234.5).toLocaleString('en-US', {style: 'percent'})":                           "Error",
	} {
		if got := saysOf(t, "exports.handler = async function (event)", expression); got != want {
			t.Errorf("Lambda@Edge: %s is %q, want %q", expression, got, want)
		}
	}
}
