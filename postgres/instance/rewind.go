package instance

import "context"

// rewind makes data that took another turn than the primary's follow it.
func (in *Instance) rewind(_ context.Context, v View, _ history) error {
	return in.moveAside(v.Folder.System, "it took another turn than the primary")
}
