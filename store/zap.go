package store

import (
	"context"
	"log/slog"
	"runtime"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"meridian/internal/zaplog"
)

// newZap returns the logger that etcd gets. Its errors go to log; those of its
// end, once ctx is canceled, are of no interest. Where etcd
// would end or panic the whole process, it calls fatal and ends only the
// goroutine: a node without its member goes on with the last good copy.
func newZap(ctx context.Context, log *slog.Logger, fatal func(msg string)) *zap.Logger {
	last := lastWords(fatal)
	return zaplog.New(log, "etcd says", zapcore.ErrorLevel, func(l zapcore.Level) slog.Level {
		switch {
		case l > zapcore.ErrorLevel:
			return slog.LevelError
		case ctx.Err() != nil:
			return slog.LevelDebug
		}
		return slog.LevelWarn
	}, zap.WithFatalHook(last), zap.WithPanicHook(last))
}

type lastWords func(msg string)

// OnWrite implements zapcore.CheckWriteHook.
func (f lastWords) OnWrite(e *zapcore.CheckedEntry, _ []zapcore.Field) {
	f(e.Message)
	runtime.Goexit()
}
