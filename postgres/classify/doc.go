// Package classify decides from a statement's text where it may run.
//
// There is no SQL parser here. A hand lexer knows quotes, dollar quotes and
// comments; the verdict comes from the first keyword and from names: those of
// constructs that a standby would answer differently without an error, and
// those that the catalogues say reach a user-defined volatile function. What
// the names do not catch, the standby refuses before any effect, and the
// caller moves it. So an error here must lean to one side: what is unknown
// goes to the primary.
//
// Classify is a pure function of the text and the Names. A Cache remembers
// verdicts by exact text.
package classify
