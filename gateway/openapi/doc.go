// Package openapi reads an API from an OpenAPI 3.0 or 3.1 file, in YAML or
// JSON, as API Gateway imports it into an HTTP API.
//
// An operation names its function by x-amazon-apigateway-integration (type
// aws_proxy) or, shorter, by
//
//	x-meridian-function: articles
//
// which may also stand on a path or at the document's root as the default of
// all below it. x-amazon-apigateway-any-method takes the methods that a path
// does not define; the path /$default takes what no other route matches.
//
// Of security, an apiKey scheme in the header x-api-key, and a scheme with an
// x-amazon-apigateway-authorizer of type jwt or with the name of a configured
// authorizer, are the gateway's to enforce. Other apiKey and http schemes
// document what the application itself checks; API.Notes lists them.
//
// All mistakes of a file are reported at once, each with its line and column,
// what was found and what was expected. A file with a mistake yields no API.
package openapi
