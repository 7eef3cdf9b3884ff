//go:build !linux

package sandbox

import "log/slog"

// NewMemory finds out how memory can be limited here: by GOMEMLIMIT alone.
func NewMemory(log *slog.Logger) *Memory {
	log.Warn("memory limits", "by", "GOMEMLIMIT alone: this system is not Linux")
	return &Memory{groups: noGroups{"not Linux"}}
}

// resident is not known here.
func resident(int) int64 { return 0 }
