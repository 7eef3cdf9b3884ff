// Package accesslog writes one line for each request, to a file or to standard
// output, and lets no request wait for it.
//
// In go entries, out come lines of JSON: with names of its own, or with those of
// CloudFront's logs and its words for what became of a request. Between stands a
// queue of fixed size: what comes while it is full is dropped and counted, never
// waited for. A file is rotated at its size; one that somebody else moved away is
// opened anew. A disk that is full loses lines, and nothing else.
//
// Secrets that stand in URLs (signatures, tokens) are not written, unless the
// configuration says so; headers with credentials never are.
package accesslog
