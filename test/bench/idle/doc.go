// Package idle measures what an idle connection costs an edge: its test starts
// an edge as a process of its own, opens connections with TLS to it from many
// addresses of 127.0.0.0/8, and reports the growth of the edge's resident memory
// for each of them. Then it holds 100,000 at once, at as many edges as it takes, and
// reports the memory of all of them.
//
//	make idle            as many as this system's files allow, 100,000 at most
//	make idle CONNECTIONS=1000
//	make idle REST=150s      after the collector has run, as it does every two minutes at least
package idle
