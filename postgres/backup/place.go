package backup

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"meridian"
)

// Config says where backups go, how often, and how many stay.
type Config struct {
	To          string        // an absolute folder, or s3://BUCKET[/PREFIX]
	Endpoint    string        // of the S3-compatible store; "" is AWS's
	Credentials string        // a file in the format of ~/.aws/credentials; "": the environment, or the machine's own role
	Every       time.Duration // between base backups; 0 is 24h
	Keep        int           // base backups; 0 is 7
}

// A Place holds objects by name. Put shows an object whole or not at all, and
// returns once a power cut cannot take it away.
type Place interface {
	Put(ctx context.Context, key string, content io.Reader) error
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) ([]Object, error)
	Delete(ctx context.Context, key string) error
}

// An Object is one thing that a Place holds.
type Object struct {
	Key  string
	Size int64
	Time time.Time // of its writing
}

// Open returns the place that c names.
func Open(c Config) (Place, error) {
	if rest, ok := strings.CutPrefix(c.To, "s3://"); ok {
		return openBucket(c, rest)
	}
	if c.Endpoint != "" || c.Credentials != "" {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("backups to the folder %s: endpoint and credentials are for s3://", c.To))
	}
	return dir(c.To), nil
}
