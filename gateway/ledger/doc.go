// Package ledger remembers, in the primary's PostgreSQL, which requests were
// executed by their Idempotency-Key, and how they were answered: the one place
// that all regions ask, so that what was sent to two of them runs in one.
//
// Before a function gets the event its gateway claims the request's scope; after
// it, the answer settles the claim. Both are transactions of their own, beside the
// function's: a claim stands in the same log before all that the function wrote,
// so a history that has the write has the claim. A claim that is not settled is
// not executed again: nobody knows how far it came.
package ledger
