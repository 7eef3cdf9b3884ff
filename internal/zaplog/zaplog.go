// Package zaplog has libraries that log by zap say it to slog.
package zaplog

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Level says how loud a library's entry is in slog, from what it is to zap.
type Level func(zapcore.Level) slog.Level

// New returns a logger whose entries from least on go to log, as said by msg and with
// their own text as the attribute text.
func New(log *slog.Logger, msg string, least zapcore.Level, level Level, o ...zap.Option) *zap.Logger {
	return zap.New(core{log, msg, least, level}, o...)
}

// A core implements zapcore.Core.
type core struct {
	log   *slog.Logger
	msg   string
	least zapcore.Level
	level Level
}

// The interfaces of zap have no place for a context, and slog wants one.
var none = context.Background()

func (c core) Enabled(l zapcore.Level) bool { return l >= c.least && c.log.Enabled(none, c.level(l)) }
func (c core) Sync() error                  { return nil }

func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.log = c.log.With(attrs(fields)...)
	return c
}

func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(none, c.level(e.Level), c.msg, append(attrs(fields), "text", e.Message)...)
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
