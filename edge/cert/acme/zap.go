package acme

import (
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"meridian/internal/zaplog"
)

// newZap returns the logger that certmagic gets: what it does is of interest to
// who looks for it, what goes wrong to everybody.
func newZap(log *slog.Logger) *zap.Logger {
	return zaplog.New(log, "acme", zapcore.DebugLevel, func(l zapcore.Level) slog.Level {
		if l >= zapcore.WarnLevel {
			return slog.LevelWarn
		}
		return slog.LevelDebug
	})
}
