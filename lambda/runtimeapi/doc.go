// Package runtimeapi speaks the AWS Lambda Runtime API, version 2018-06-01, to
// one execution environment: the process behind it asks for its next event and
// posts what became of it.
//
// What comes in: GET runtime/invocation/next, POST runtime/invocation/ID/response,
// POST runtime/invocation/ID/error and POST runtime/init/error, as any Lambda
// runtime sends them, as many at once as the process likes. What goes out: the
// event with its Lambda-Runtime-* headers, 202 for what was taken, and for all
// else a JSON error with Lambda's type names (see errortype.go).
//
// It holds no queue and knows no deadline: those are its Host's. It never lets
// a body of more than MaxPayload bytes into memory.
//
// Responses in streaming mode are taken and collected: the Host gets them whole.
package runtimeapi
