// Package pemfile reads PEM files as editors and tools write them.
//
// What comes in is a file's text; what goes out is its blocks, in order, or what the file is
// instead. encoding/pem passes over a block that it cannot read, and a chain, or a list of
// revocations, ends before it unseen; here that is an error.
package pemfile

import (
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// begin stands before the type of a PEM block.
const begin = "-----BEGIN "

// Blocks returns the blocks of a PEM file, as editors and tools write it: with a byte order
// mark, with another end of lines, indented, and with words between. A block that cannot be
// read is an error, since pem passes it over: a chain would end with it unseen.
func Blocks(text []byte) (all []*pem.Block, err error) {
	if err := isText(text); err != nil {
		return nil, err
	}
	var parts []string // each begins with a block, but for the first
	for l := range strings.FieldsFuncSeq(strings.TrimPrefix(string(text), "\ufeff"), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if l = strings.TrimSpace(l); len(parts) == 0 || strings.HasPrefix(l, begin) {
			parts = append(parts, "")
		}
		if parts[len(parts)-1] += l + "\n"; strings.HasPrefix(l, "DEK-Info:") {
			parts[len(parts)-1] += "\n" // ends the headers
		}
	}
	for _, p := range parts {
		if !strings.HasPrefix(p, begin) {
			continue
		}
		b, _ := pem.Decode([]byte(p))
		if b == nil {
			kind, _, _ := strings.Cut(strings.TrimPrefix(p, begin), "-----")
			return nil, fmt.Errorf("found a PEM block %.40s, number %d of the file, that is cut or damaged, want it whole", kind, len(all)+1)
		}
		all = append(all, b)
	}
	return all, nil
}

// isText tells of files that are another format.
func isText(text []byte) error {
	switch {
	case len(strings.TrimSpace(string(text))) == 0:
		return errors.New("found nothing, want PEM")
	case len(text) > 1 && (text[0] == 0xff && text[1] == 0xfe || text[0] == 0xfe && text[1] == 0xff):
		return errors.New("found text in UTF-16, want PEM in ASCII or UTF-8")
	case text[0] == 0x30 && !strings.Contains(string(text), begin): // an ASN.1 sequence
		return errors.New("found a binary file (DER or PKCS #12), want PEM: openssl x509 -inform der, openssl pkey or openssl pkcs12 makes it")
	}
	return nil
}

// Kinds names the PEM blocks that a file has.
func Kinds(all []*pem.Block) string {
	if len(all) == 0 {
		return "no PEM block"
	}
	var names []string
	for _, b := range all {
		names = append(names, b.Type)
	}
	slices.Sort(names)
	return "only " + strings.Join(slices.Compact(names), ", ")
}
