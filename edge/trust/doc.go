// Package trust judges the certificates of clients: a trust store of roots, and
// what was revoked.
//
// What comes in is a chain that a client showed, and a time; what goes out is nil,
// or why the client is not believed. A list of revocations is checked whole before
// it is used, and one with an error never replaces the one in use. It reads no
// files and asks nobody: its caller brings both.
package trust
