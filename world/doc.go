// Package world is `meridian up`: a whole world on one machine.
//
// A file comes in. World derives a production file from it (nodes, addresses,
// certificates, bundles), writes that to the state folder, and supervises one
// child process a node, each of which runs `meridian serve --node NAME` on
// that derived file: nothing runs here that does not run in production, and
// regions share no memory. The distances between places, and the faults, are
// the only things added: they arrive over a pipe, which also tells a child
// that its supervisor is gone.
//
// World never touches a request, a statement or a DNS query. If a child dies
// by itself it is started again; if the supervisor dies, every child does.
package world
