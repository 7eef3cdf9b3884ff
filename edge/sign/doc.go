// Package sign reads and writes CloudFront's signed URLs and signed cookies: a
// grant that a holder of a private key gave somebody, and that a request bears.
//
// In go a request and the public keys that a behaviour trusts, out comes a
// Verdict with its reason. Nothing here has a clock, reads a file, or keeps
// anything. What a request bears is a stranger's until its signature is verified:
// it is bounded, and of a policy nothing passes that is not understood, since what
// is not understood may be a restriction.
//
// The forms are those of CloudFront's developer guide, "Serving private content":
// canned policies (Expires) and custom ones (Policy), RSA with 2048 bits and more
// or ECDSA on P-256, over SHA-1, or over SHA-256 where Hash-Algorithm says so.
package sign
