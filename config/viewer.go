package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// viewerHeaders are what an edge can tell an origin of a viewer, in CloudFront's
// words; server's tests compare them with the edge's own.
var viewerHeaders = []string{
	"CloudFront-Viewer-Address", "CloudFront-Viewer-ASN", "CloudFront-Viewer-Country", "CloudFront-Viewer-Country-Name", "CloudFront-Viewer-Country-Region",
	"CloudFront-Viewer-Country-Region-Name", "CloudFront-Viewer-City", "CloudFront-Viewer-Postal-Code", "CloudFront-Viewer-Metro-Code", "CloudFront-Viewer-Latitude",
	"CloudFront-Viewer-Longitude", "CloudFront-Viewer-Time-Zone", "CloudFront-Viewer-Http-Version", "CloudFront-Viewer-TLS", "CloudFront-Viewer-Header-Count",
	"CloudFront-Viewer-JA3-Fingerprint", "CloudFront-Viewer-JA4-Fingerprint", "CloudFront-Forwarded-Proto", "CloudFront-Is-Android-Viewer", "CloudFront-Is-Desktop-Viewer",
	"CloudFront-Is-IOS-Viewer", "CloudFront-Is-Mobile-Viewer", "CloudFront-Is-SmartTV-Viewer", "CloudFront-Is-Tablet-Viewer",
}

// withViewer is the managed origin request policy that tells an origin of a viewer
// what CloudFront knew of one in June 2022; allButNew are those headers.
const withViewer = "AllViewerAndCloudFrontHeaders-2022-06"

var allButNew = slices.DeleteFunc(slices.Clone(viewerHeaders), func(name string) bool {
	return strings.Contains(name, "-JA") || strings.HasSuffix(name, "-Header-Count")
})

// ViewerOf returns what a behaviour's origin is told of the viewer, beside what its
// policies name.
func (f *File) ViewerOf(b Behavior) []string {
	if b.OriginRequest == nil || b.OriginRequest.Name != withViewer {
		return b.Viewer
	}
	return slices.Concat(b.Viewer, allButNew)
}

// needGeo are those that only a database can answer.
var needGeo = viewerHeaders[1:12]

// checkViewer wants headers that an edge can tell.
func (d *decoder) checkViewer(f *File, b Behavior) {
	for i, name := range b.Viewer {
		is := func(known string) bool { return strings.EqualFold(known, http.CanonicalHeaderKey(name)) }
		p := d.at(b.pos, fmt.Sprintf("viewer[%d]", i))
		switch {
		case !slices.ContainsFunc(viewerHeaders, is):
			d.fail(p, "found "+short(name), "one of "+join(viewerHeaders))
		case f.Geo == "" && slices.ContainsFunc(needGeo, is):
			d.fail(p, name+" without a database", "geo: with an .mmdb file beside it")
		}
	}
}
