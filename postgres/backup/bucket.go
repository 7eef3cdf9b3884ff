package backup

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian"
)

// A bucket is a Place in an S3-compatible store.
type bucket struct {
	client *minio.Client
	name   string
	prefix string // "" or ends with a slash
	part   uint64 // bytes of an object that are in memory while it is sent
}

// awsEndpoint finds the bucket in whichever of AWS's regions it is.
const awsEndpoint = "https://s3.amazonaws.com"

func openBucket(c Config, to string) (Place, error) {
	name, prefix, _ := strings.Cut(to, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = awsEndpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || name == "" {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("backups to %s at %q: expected s3://BUCKET/PREFIX and an endpoint such as https://s3.example.test", c.To, endpoint))
	}
	who := credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
	if c.Credentials != "" {
		who = credentials.NewFileAWSCredentials(c.Credentials, "default")
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: who, Secure: u.Scheme == "https"})
	if err != nil {
		return nil, fmt.Errorf("backups to %s: %w", c.To, err)
	}
	return bucket{client, name, prefix, partSize}, nil
}

// partSize lets an object have 640 GB: S3 allows 10,000 parts.
const partSize = 64 << 20

// Put sends an object of unknown size in parts; S3 shows it once all are there.
func (b bucket) Put(ctx context.Context, key string, content io.Reader) error {
	size := int64(-1)
	if s, ok := content.(interface{ Len() int }); ok {
		size = int64(s.Len())
	}
	_, err := b.client.PutObject(ctx, b.name, b.prefix+key, content, size, minio.PutObjectOptions{
		PartSize:             b.part,
		DisableContentSha256: true, // each part has its CRC, and not every store reads signatures that are streamed
	})
	return b.failed("write", key, err)
}

func (b bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	o, err := b.client.GetObject(ctx, b.name, b.prefix+key, minio.GetObjectOptions{})
	return o, b.failed("read", key, err)
}

func (b bucket) List(ctx context.Context, prefix string) (out []Object, err error) {
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.failed("list", prefix, o.Err)
		}
		out = append(out, Object{strings.TrimPrefix(o.Key, b.prefix), o.Size, o.LastModified})
	}
	return out, nil
}

func (b bucket) Delete(ctx context.Context, key string) error {
	return b.failed("delete", key, b.client.RemoveObject(ctx, b.name, b.prefix+key, minio.RemoveObjectOptions{}))
}

// String names the bucket, and the store.
func (b bucket) String() string {
	return fmt.Sprintf("s3://%s at %s", path.Join(b.name, b.prefix), b.client.EndpointURL().Host)
}

func (b bucket) failed(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s s3://%s at %s: %w", doing, path.Join(b.name, b.prefix+key), b.client.EndpointURL().Host, err)
}
