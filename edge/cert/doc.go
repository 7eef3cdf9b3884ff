// Package cert holds the certificates that an edge shows: those of PEM files
// that the config names, or of the internal CA.
//
// What comes in is a set of certificates with keys; what goes out is, for each
// handshake, the one whose names fit best. A set is checked whole before it is
// used (the key belongs to the certificate, the chain joins and leads to a root,
// the names cover the domains, the time is right), and an error says the file,
// what was found and what was expected. A set with an error never replaces the
// one in use (guarantee 6), and a new set never disturbs a handshake.
package cert
