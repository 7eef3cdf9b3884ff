package cache

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRange(t *testing.T) {
	for _, tt := range []struct {
		text     string
		size     int64
		want     span
		ok, none bool
	}{
		{"bytes=0-1", 10, span{0, 2}, true, false},
		{"bytes=5-", 10, span{5, 10}, true, false},
		{"bytes=-3", 10, span{7, 10}, true, false},
		{"bytes=-30", 10, span{0, 10}, true, false},
		{"BYTES=0-100", 10, span{0, 10}, true, false},
		{"bytes=10-", 10, span{}, true, true},
		{"bytes=-0", 10, span{}, true, true},
		{"bytes=0-", 0, span{}, true, true},
		{"bytes=10-20, 1-2", 10, span{1, 3}, true, false},
		{"bytes=0-1, 4-5", 10, span{}, false, false},
		{"bytes=5-4", 10, span{}, false, false},
		{"bytes=-", 10, span{}, false, false},
		{"bytes=", 10, span{}, false, false},
		{"bytes=a-b", 10, span{}, false, false},
		{"bytes=1-2-3", 10, span{}, false, false},
		{"bytes=+1-2", 10, span{}, false, false},
		{"items=0-1", 10, span{}, false, false},
		{"bytes=99999999999999999999-", 10, span{}, true, true},
		{"bytes=0-99999999999999999999", 10, span{0, 10}, true, false},
		{"bytes=" + strings.Repeat("0-1,", 99), 10, span{}, false, false},
	} {
		got, ok, none := parseRange(tt.text, tt.size)
		if ok != tt.ok || none != tt.none || ok && !none && got != tt.want {
			t.Errorf("%.40s of %d: %v %v %v, want %v %v %v", tt.text, tt.size, got, ok, none, tt.want, tt.ok, tt.none)
		}
	}
	for text, want := range map[string]bool{
		"bytes 0-4/10": true, "bytes 0-4/*": true, "bytes 4-0/10": false, "bytes 0-10/10": false, "bytes */10": false, "bytes 0-4": false,
		"bytes -4/10": false, "bytes 0-4/x": false, "": false, "bytes 0-9223372036854775807/*": false,
	} {
		if _, _, ok := parseContentRange(text); ok != want {
			t.Errorf("Content-Range: %s: %v", text, ok)
		}
	}
}

func TestNotModified(t *testing.T) {
	stored := headers(`Etag: "a"`, "Last-Modified: "+at(noon), "Date: "+at(noon.Add(time.Hour)))
	for _, tt := range []struct {
		asked  http.Header
		stored http.Header
		want   bool
	}{
		{headers(`If-None-Match: "a"`), stored, true},
		{headers(`If-None-Match: W/"a"`), stored, true},
		{headers(`If-None-Match: "b", "a"`), stored, true},
		{headers(`If-None-Match: *`), stored, true},
		{headers(`If-None-Match: "b"`), stored, false},
		{headers(`If-None-Match: "b"`, "If-Modified-Since: "+at(noon)), stored, false},
		{headers("If-Modified-Since: " + at(noon)), stored, true},
		{headers("If-Modified-Since: " + at(noon.Add(time.Second))), stored, true},
		{headers("If-Modified-Since: " + at(noon.Add(-time.Second))), stored, false},
		{headers("If-Modified-Since: " + noon.Format("Monday, 02-Jan-06 15:04:05 GMT")), stored, true},
		{headers("If-Modified-Since: noon"), stored, false},
		{headers("If-Modified-Since: " + at(noon)), headers("Date: " + at(noon.Add(time.Hour))), false},
		{headers("If-Modified-Since: " + at(noon)), headers("Date: " + at(noon)), true},
		{headers("If-Modified-Since: " + at(noon)), headers(), false},
		{headers(`If-None-Match: ""`), headers(), false},
	} {
		if got := notModified(tt.asked, tt.stored); got != tt.want {
			t.Errorf("%v of %v: %v, want %v", tt.asked, tt.stored, got, tt.want)
		}
	}
}

func TestIfRangeIsComparedStrongly(t *testing.T) {
	stored := headers(`Etag: "a"`, "Last-Modified: "+at(noon), "Date: "+at(noon.Add(time.Hour)))
	for cond, want := range map[string]bool{`"a"`: true, `"b"`: false, `W/"a"`: false, at(noon): true, at(noon.Add(time.Second)): false, "x": false} {
		if got := rangeHolds(headers("If-Range: "+cond), stored); got != want {
			t.Errorf("%s: %v", cond, got)
		}
	}
	if !rangeHolds(headers(), stored) {
		t.Error("no If-Range")
	}
}

func TestUpdatedKeepsWhatDescribesTheBytes(t *testing.T) {
	old := headers(`Etag: "a"`, "Content-Length: 5", "Content-Encoding: br", "X: 1", "Cache-Control: max-age=1", "Age: 3")
	got := updated(old, headers(`Etag: "b"`, "Content-Length: 0", "X: 2", "Cache-Control: max-age=2", "New: 1"))
	want := headers(`Etag: "a"`, "Content-Length: 5", "Content-Encoding: br", "X: 2", "Cache-Control: max-age=2", "New: 1")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if old.Get("X") != "1" {
		t.Error("what others read was changed")
	}
}
