package event

import (
	"net/http"
	"strings"
)

// An event1 is an event of format 1.0 as HTTP APIs send it. What a request
// does not have is null.
type event1 struct {
	Version     string              `json:"version"`
	Resource    string              `json:"resource"`
	Path        string              `json:"path"`
	Method      string              `json:"httpMethod"`
	Headers     map[string]string   `json:"headers"`
	MultiHeader map[string][]string `json:"multiValueHeaders"`
	Query       map[string]string   `json:"queryStringParameters"`
	MultiQuery  map[string][]string `json:"multiValueQueryStringParameters"`
	Context     context1            `json:"requestContext"`
	PathParams  map[string]string   `json:"pathParameters"`
	Stage       map[string]string   `json:"stageVariables"`
	Body        *string             `json:"body"`
	Base64      bool                `json:"isBase64Encoded"`
}

type context1 struct {
	AccountID    string       `json:"accountId"`
	APIID        string       `json:"apiId"`
	Authorizer   *authorizer1 `json:"authorizer,omitempty"`
	DomainName   string       `json:"domainName"`
	DomainPrefix string       `json:"domainPrefix"`
	ExtendedID   string       `json:"extendedRequestId"`
	Method       string       `json:"httpMethod"`
	Identity     identity1    `json:"identity"`
	Path         string       `json:"path"`
	Protocol     string       `json:"protocol"`
	RequestID    string       `json:"requestId"`
	Time         string       `json:"requestTime"`
	TimeEpoch    int64        `json:"requestTimeEpoch"`
	ResourceID   *string      `json:"resourceId"`
	ResourcePath string       `json:"resourcePath"`
	Stage        string       `json:"stage"`
}

type authorizer1 struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"`
}

type identity1 struct {
	AccessKey       *string `json:"accessKey"`
	AccountID       *string `json:"accountId"`
	APIKeyID        string  `json:"apiKeyId,omitempty"`
	Caller          *string `json:"caller"`
	CognitoProvider *string `json:"cognitoAuthenticationProvider"`
	CognitoType     *string `json:"cognitoAuthenticationType"`
	CognitoID       *string `json:"cognitoIdentityId"`
	CognitoPool     *string `json:"cognitoIdentityPoolId"`
	PrincipalOrgID  *string `json:"principalOrgId"`
	SourceIP        string  `json:"sourceIp"`
	User            *string `json:"user"`
	UserAgent       string  `json:"userAgent"`
	UserArn         *string `json:"userArn"`
}

func v1(r *Request) *event1 {
	query := SplitQuery(r.Query)
	e := &event1{
		Version:     string(V1),
		Resource:    r.Resource,
		Path:        r.Path,
		Method:      r.Method,
		Headers:     single(r.Header),
		MultiHeader: multi(r.Header),
		Query:       last(query),
		MultiQuery:  query,
		PathParams:  r.Params,
		Context: context1{
			AccountID:    r.AccountID,
			APIID:        r.APIID,
			Authorizer:   authorizerOf1(r.Authorizer),
			DomainName:   r.Host,
			DomainPrefix: r.domainPrefix(),
			ExtendedID:   r.ID,
			Method:       r.Method,
			Identity:     identity1{SourceIP: r.SourceIP, UserAgent: r.Header.Get("User-Agent"), APIKeyID: keyID(r.Authorizer)},
			Path:         r.Path,
			Protocol:     r.Protocol,
			RequestID:    r.ID,
			Time:         r.clf(),
			TimeEpoch:    r.Time.UnixMilli(),
			ResourcePath: r.Resource,
			Stage:        r.Stage,
		},
	}
	if body, encoded := r.body(); body != "" {
		e.Body, e.Base64 = &body, encoded
	}
	return e
}

func multi(h http.Header) map[string][]string {
	out := make(map[string][]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = values
	}
	return out
}

func last(values map[string][]string) map[string]string {
	if values == nil {
		return nil
	}
	out := make(map[string]string, len(values))
	for name, v := range values {
		out[name] = v[len(v)-1]
	}
	return out
}

func authorizerOf1(a *Authorizer) *authorizer1 {
	if a == nil || a.Claims == nil {
		return nil
	}
	return &authorizer1{a.Claims, a.Scopes}
}

func keyID(a *Authorizer) string {
	if a == nil {
		return ""
	}
	return a.APIKeyID
}
