// Package lambda runs functions written for AWS Lambda.
//
// What comes in: an Invocation, from the gateway. What goes out: the event, to
// a process of the function over the Lambda Runtime API, and back the process's
// answer, with what the database hop observed meanwhile. An execution
// environment is one process with a Runtime API of its own; it takes as many
// invocations at once as the function's Concurrency says, and a second one is
// started when there is no slot, up to Max.
//
// What it never does: give one invocation to two processes; give new work to a
// process that has missed a deadline; let what one process does fail an
// invocation that another one holds; keep a caller waiting for a process that
// died. A caller that goes away is let go at once, while its slot stays taken
// until the function answers, for only the function knows when it is done.
//
// When a function cannot start, its invocations fail at once and the others'
// go on; starts are tried again after a pause. When the database is down,
// functions run and see its errors.
//
// A function is kept from others' events by its user: its Runtime API refuses
// connections of other users. Where all functions run as one user (a node that
// is not root), any of them could ask for the others' events.
package lambda
