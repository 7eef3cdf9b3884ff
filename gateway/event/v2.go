package event

import (
	"net/http"
	"strings"
)

// An event2 is an event of format 2.0. What a request does not have is left
// out, as API Gateway does.
type event2 struct {
	Version    string            `json:"version"`
	RouteKey   string            `json:"routeKey"`
	RawPath    string            `json:"rawPath"`
	RawQuery   string            `json:"rawQueryString"`
	Cookies    []string          `json:"cookies,omitempty"`
	Headers    map[string]string `json:"headers"`
	Query      map[string]string `json:"queryStringParameters,omitempty"`
	Context    context2          `json:"requestContext"`
	Body       string            `json:"body,omitempty"`
	PathParams map[string]string `json:"pathParameters,omitempty"`
	Base64     bool              `json:"isBase64Encoded"`
}

type context2 struct {
	AccountID    string       `json:"accountId"`
	APIID        string       `json:"apiId"`
	Authorizer   *authorizer2 `json:"authorizer,omitempty"`
	DomainName   string       `json:"domainName"`
	DomainPrefix string       `json:"domainPrefix"`
	HTTP         http2        `json:"http"`
	RequestID    string       `json:"requestId"`
	RouteKey     string       `json:"routeKey"`
	Stage        string       `json:"stage"`
	Time         string       `json:"time"`
	TimeEpoch    int64        `json:"timeEpoch"`
}

type http2 struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

type authorizer2 struct {
	JWT    *jwt2             `json:"jwt,omitempty"`
	Lambda map[string]string `json:"lambda,omitempty"`
}

// A jwt2 has scopes null for a token that has none.
type jwt2 struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"`
}

func v2(r *Request) *event2 {
	e := &event2{
		Version:    string(V2),
		RouteKey:   r.RouteKey,
		RawPath:    r.Path,
		RawQuery:   r.Query,
		Cookies:    SplitCookies(r.Header["Cookie"]),
		Headers:    headers2(r.Header),
		Query:      joined(SplitQuery(r.Query)),
		PathParams: r.Params,
		Context: context2{
			AccountID:    r.AccountID,
			APIID:        r.APIID,
			Authorizer:   authorizerOf2(r.Authorizer),
			DomainName:   r.Host,
			DomainPrefix: r.domainPrefix(),
			HTTP:         http2{r.Method, r.Path, r.Protocol, r.SourceIP, r.Header.Get("User-Agent")},
			RequestID:    r.ID,
			RouteKey:     r.RouteKey,
			Stage:        r.Stage,
			Time:         r.clf(),
			TimeEpoch:    r.Time.UnixMilli(),
		},
	}
	e.Body, e.Base64 = r.body()
	return e
}

// headers2 leaves the cookies to the event's own field.
func headers2(h http.Header) map[string]string {
	out := single(h)
	delete(out, "cookie")
	return out
}

func joined(values map[string][]string) map[string]string {
	if values == nil {
		return nil
	}
	out := make(map[string]string, len(values))
	for name, v := range values {
		out[name] = strings.Join(v, ",")
	}
	return out
}

func authorizerOf2(a *Authorizer) *authorizer2 {
	switch {
	case a == nil:
		return nil
	case a.Claims != nil:
		return &authorizer2{JWT: &jwt2{a.Claims, a.Scopes}}
	}
	return &authorizer2{Lambda: map[string]string{"apiKeyId": a.APIKeyID, "apiKeyName": a.APIKeyName}}
}
