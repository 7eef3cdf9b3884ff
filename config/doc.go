// Package config is the file: its schema, its defaults, and errors that name
// file, line and column, what was found, and what was expected.
//
// A file comes in; a *File goes out that every other part may trust: names are
// unique, there is one primary, files exist, addresses parse. A bad file
// yields every mistake that could be found, and nothing else (guarantee 6).
// The package starts nothing and listens nowhere.
package config
