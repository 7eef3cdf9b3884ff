// Package edge_test compares doors side by side, in one run on one machine: an
// edge of a world that is up, nginx and HAProxy, each with TLS in front of one
// plain server, for what they have stored and for what they pass on, over
// HTTP/1.1 and HTTP/2. Run it with `make bench-edge` on a machine that does nothing
// else: the figures are worth what the machine's quiet is. CPU time for each request
// is the steadiest of them.
package edge_test
