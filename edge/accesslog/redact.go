package accesslog

import (
	"net/url"
	"slices"
	"strings"
)

// secret are the parameters whose values open something, in lower case:
// CloudFront's and AWS's signatures, OAuth's and others' tokens.
var secret = []string{
	"signature", "policy", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "sig", "token", "access_token", "refresh_token", "id_token",
	"code", "client_secret", "password", "passwd", "pwd", "secret", "api_key", "apikey", "key", "x-api-key", "auth", "authorization", "jwt", "session", "sessionid",
}

const redacted = "REDACTED"

// Redact takes the values of secrets out of an entry's query, of the query in its
// Referer, and all values out of its cookies.
func Redact(e *Entry) {
	e.Query = query(e.Query)
	if before, after, ok := strings.Cut(e.Referer, "?"); ok {
		e.Referer = before + "?" + query(after)
	}
	if e.Cookie != "" {
		e.Cookie = cookies(e.Cookie)
	}
}

func query(raw string) string {
	if !strings.Contains(raw, "=") {
		return raw
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, ok := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && ok && slices.Contains(secret, strings.ToLower(plain)) {
			pairs[i] = name + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

func cookies(line string) string {
	pairs := strings.Split(line, ";")
	for i, pair := range pairs {
		name, _, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if pairs[i] = name; ok {
			pairs[i] = name + "=" + redacted
		}
	}
	return strings.Join(pairs, "; ")
}
