package ledger

import "context"

// Sweep removes what has expired, as Run does each minute.
func (l *Ledger) Sweep(ctx context.Context) { l.sweep(ctx) }
