package openapi

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pb33f/go-yaml"

	"meridian/gateway/cors"
)

// cors reads x-amazon-apigateway-cors.
func (r *reader) cors(n *yaml.Node) *cors.Config {
	if n = r.mapping(n, extCORS); n == nil {
		return nil
	}
	c := &cors.Config{}
	for k, v := range entries(n) {
		switch k.Value {
		case "allowOrigins":
			c.AllowOrigins = texts(v)
		case "allowMethods":
			c.AllowMethods = texts(v)
		case "allowHeaders":
			c.AllowHeaders = texts(v)
		case "exposeHeaders":
			c.ExposeHeaders = texts(v)
		case "allowCredentials":
			b, err := strconv.ParseBool(text(v))
			if c.AllowCredentials = b; err != nil {
				r.fail(v, fmt.Sprintf("allowCredentials %q", text(v)), "true or false")
			}
		case "maxAge":
			s, err := strconv.Atoi(text(v))
			if c.MaxAge = time.Duration(s) * time.Second; err != nil {
				r.fail(v, fmt.Sprintf("maxAge %q", text(v)), "a number of seconds")
			}
		default:
			r.fail(k, fmt.Sprintf("key %q", k.Value), "allowOrigins, allowMethods, allowHeaders, exposeHeaders, allowCredentials or maxAge")
		}
	}
	if _, err := cors.New(*c); err != nil {
		r.fail(n, err.Error(), "")
	}
	return c
}
