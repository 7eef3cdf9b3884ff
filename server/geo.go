package server

import (
	"log/slog"

	"meridian/config"
	"meridian/edge/geo"
)

// places opens the file's database of where addresses are; nil if it has none.
func places(f *config.File, log *slog.Logger) (*geo.Database, error) {
	if f.Geo == "" {
		return nil, nil
	}
	d, err := geo.Open(f.Geo, log.With("hop", "edge"))
	if err != nil {
		return nil, f.At("geo", err)
	}
	return d, nil
}
