// Package acme gets certificates by ACME (RFC 8555) for all edges at once.
//
// Certmagic decides when (RFC 9773, retries with growing pauses) and speaks the
// protocol; its storage and its locks are the control store, so that one node
// issues and all know. What a validation asks for lies there too: any edge answers
// HTTP-01 (RFC 8555, section 8.3) and TLS-ALPN-01 (RFC 8737), and any name server
// DNS-01 (section 8.4).
//
// Everything that is stored is encrypted. What it never does: show a certificate;
// it hands each one to its caller, who checks it. When the store has no majority,
// nothing is issued, and what edges show stays.
package acme
