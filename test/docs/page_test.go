// Package docs reads the documents as a careful stranger would: it follows
// every link, loads every file that they show, and runs every command.
package docs_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

var rewrite = flag.Bool("rewrite", false, "write the generated parts of the documents anew")

// A block is a fenced block of a page.
type block struct {
	page string // its path below root
	line int    // of its fence, from 1
	lang string // the info string's first word
	mark map[string]string
	text string
}

// Has reports whether the info string has a word.
func (b block) has(word string) bool { _, ok := b.mark[word]; return ok }

// pages returns the paths of all documents below root: the README first, then
// in the order of their names.
func pages(t *testing.T) (out []string) {
	t.Helper()
	for _, pattern := range []string{"README.md", "*.md", "docs", "examples"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			err := filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
				if rel := strings.TrimPrefix(path, root+"/"); err == nil && filepath.Ext(path) == ".md" && !slices.Contains(out, rel) {
					out = append(out, rel)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d documents were found: %v", len(out), out)
	}
	return out
}

func read(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blocks returns the fenced blocks of a page.
func blocks(t *testing.T, page string) (out []block) {
	t.Helper()
	var b *block
	for i, line := range strings.Split(read(t, page), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && b == nil:
			b = newBlock(page, i+1, info)
		case fence:
			out, b = append(out, *b), nil
		case b != nil:
			b.text += line + "\n"
		}
	}
	if b != nil {
		t.Errorf("%s:%d: the block does not end", b.page, b.line)
	}
	return out
}

func newBlock(page string, line int, info string) *block {
	b := &block{page: page, line: line, mark: map[string]string{}}
	for i, word := range strings.Fields(info) {
		if i == 0 {
			b.lang = word
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		b.mark[name] = value
	}
	return b
}

// fixtures writes a block's file into dir, and what it needs beside it.
func fixtures(t *testing.T, dir string, b block) {
	t.Helper()
	write(t, filepath.Join(dir, b.mark["file"]), b.text)
	for need := range strings.SplitSeq(b.mark["needs"], ",") {
		path := filepath.Join(dir, need)
		if strings.HasSuffix(need, "/") || need == "" {
			mkdir(t, path)
		} else if _, err := os.Stat(path); err != nil {
			write(t, path, filler(need))
		}
	}
}

// filler returns what stands in for a file that a block needs.
func filler(name string) string {
	switch filepath.Ext(name) {
	case ".js":
		return "exports.handler = async (event) => event.Records[0].cf.request;\nfunction handler(event) { return event.request; }\n"
	case ".json":
		return `{"data": []}`
	}
	return "openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths: {}\n"
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
