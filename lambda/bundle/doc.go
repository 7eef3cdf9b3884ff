// Package bundle turns what a function comes as, a folder of Go, a program or
// a zip file, into a bundle: a folder with an executable bootstrap, as Lambda's
// provided.* runtimes expect it.
//
// Bundles are named by their content and never changed: one that cannot be
// built leaves those before it as they are (guarantee 6), and a build that
// changes nothing gives the same folder. Nodes never compile; whoever deploys
// does, once.
package bundle
