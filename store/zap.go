package store

import (
	"context"
	"log/slog"
	"runtime"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns the logger that etcd gets. Its errors go to log; those of its
// end, once ctx is canceled, are of no interest. Where etcd
// would end or panic the whole process, it calls fatal and ends only the
// goroutine: a node without its member goes on with the last good copy.
func newZap(ctx context.Context, log *slog.Logger, fatal func(msg string)) *zap.Logger {
	last := lastWords(fatal)
	return zap.New(slogCore{ctx: ctx, log: log}, zap.WithFatalHook(last), zap.WithPanicHook(last))
}

type lastWords func(msg string)

// OnWrite implements zapcore.CheckWriteHook.
func (f lastWords) OnWrite(e *zapcore.CheckedEntry, _ []zapcore.Field) {
	f(e.Message)
	runtime.Goexit()
}

// A slogCore is a zapcore.Core that writes to slog.
type slogCore struct {
	ctx context.Context // of Run; the zap interfaces have no place for it
	log *slog.Logger
}

func (c slogCore) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }
func (c slogCore) Sync() error                  { return nil }

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{ctx: c.ctx, log: c.log.With(attrs(fields)...)}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	switch {
	case e.Level > zapcore.ErrorLevel:
		level = slog.LevelError
	case c.ctx.Err() != nil:
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, "etcd says", append(attrs(fields), "text", e.Message)...)
	return nil
}

func attrs(fields []zapcore.Field) []any {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	out := make([]any, 0, 2*len(m.Fields))
	for k, v := range m.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
