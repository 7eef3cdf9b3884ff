// Package sandbox runs the process of one execution environment: its folders,
// its variables, its user, its memory limit, its output.
//
// It is a process sandbox for tenants that are trusted not to attack the
// kernel. Where the node runs as root and a function has a user of its own,
// the process cannot read other functions' files, nor take their events: a
// Listener refuses connections of other users. Where all run as one user,
// nothing but good manners keeps functions apart.
//
// A process that ends takes its group with it, and so does the end of the node.
package sandbox
