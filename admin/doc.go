// Package admin is the operator's HTTP API and the console.
//
// Requests of operators come in (status, keys, drain, traces); changes of
// desired state go out to the store. Whoever wants to see secrets or to change
// anything must show the world's admin token; the console shows only what any
// caller of the API may know, and needs none.
//
// It never stands on a request's path: without it, and without the store that
// it writes to, the world goes on as it is (guarantee 5).
package admin
