package server

import (
	"meridian/config"
	"meridian/edge"
)

func proxyProtocol(f *config.File) edge.ProxyProtocol {
	if p := f.ProxyProtocol; p != nil {
		return edge.ProxyProtocol{From: p.From, Timeout: p.Timeout}
	}
	return edge.ProxyProtocol{}
}
