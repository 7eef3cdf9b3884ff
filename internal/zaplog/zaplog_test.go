package zaplog

import (
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestEntriesAreSaidToSlog(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	z := New(log, "etcd says", zapcore.WarnLevel, func(l zapcore.Level) slog.Level {
		if l > zapcore.ErrorLevel {
			return slog.LevelError
		}
		return slog.LevelWarn
	})
	z = z.With(zap.String("member", "a"))
	z.Info("below what is wanted")
	z.Warn("slow", zap.Int("ms", 7))
	z.DPanic("broken")
	want := `level=WARN msg="etcd says" member=a ms=7 text=slow
level=ERROR msg="etcd says" member=a text=broken
`
	if out.String() != want {
		t.Errorf("said\n%swant\n%s", out.String(), want)
	}
}
