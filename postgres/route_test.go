package postgres

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/postgres/classify"
)

// TestRoute runs the script of testdata/route. Without a text the group runs
// nothing: it only prepares.
func TestRoute(t *testing.T) {
	datadriven.RunTest(t, "testdata/route", func(t *testing.T, d *datadriven.TestData) string {
		v := routeView{Here: d.HasArg("here"), Lapsed: d.HasArg("lapsed"), Busy: d.HasArg("busy"), Movable: d.HasArg("movable"), Oversize: d.HasArg("oversize"),
			Failed: d.HasArg("failed"), Lazy: d.HasArg("lazy"), Began: d.HasArg("began")}
		d.MaybeScanArgs(t, "pinned", &v.Pinned)
		var block string
		d.MaybeScanArgs(t, "block", &block)
		v.Block = map[string]place{"": nowhere, "near": onNear, "main": onMain, "deferred": deferred}[block]
		if d.Input != "" {
			v.Verdict = classify.Classify([]byte(d.Input), nil)
			v.Single, v.Alone = true, true
			v.Reads = reads(v.Verdict)
			if v.Verdict.Consistency != nil {
				v.Mode = *v.Verdict.Consistency
			}
		}
		if d.HasArg("strong") {
			v.Mode.Level = meridian.Strong
		}
		got := route(v)
		return got.Do + ": " + got.Why + "\n"
	})
}

func TestNamesCloseOverDefinitions(t *testing.T) {
	n := &classify.Names{Known: map[string]bool{"count": true}, Reaches: map[string]string{"f": "a user-defined volatile function"}, Leaves: map[string]bool{}}
	closeOver(n, [][]string{
		{"c", "select * from b"}, {"b", "select * from a"}, {"a", "select f()"},
		{"safe", "select count(*) from t"}, {"sleeper", "select pg_try_advisory_lock(1)"},
	})
	for name, want := range map[string]bool{"a": true, "b": true, "c": true, "sleeper": true, "safe": false} {
		if got := n.Reaches[name] != ""; got != want {
			t.Errorf("%s: %v (%s)", name, got, n.Reaches[name])
		}
	}
}

func TestFunctionsThatChangeTheirSessionAreFound(t *testing.T) {
	n := &classify.Names{Known: map[string]bool{}, Reaches: map[string]string{}, Leaves: map[string]bool{}}
	closeOverBodies(n, [][]string{
		{"outer_one", "select Tenant('x')"}, {"tenant", "begin perform set_config('a.b', $1, false); end"},
		{"scratch", "begin\n create temp table x (a int); end"}, {"setter", "begin set work_mem = '1MB'; end"},
		{"writer", "update t set temp = 1; insert into t values (1)"}, {"tenants", "select * from tenant_list"}, {"mine", "listen x"},
	}, map[string]bool{"mine": true})
	closeOver(n, [][]string{{"behind", "select outer_one()"}})
	for name, want := range map[string]bool{"outer_one": true, "tenant": true, "scratch": true, "setter": true, "behind": true, "writer": false, "tenants": false, "mine": false} {
		if n.Leaves[name] != want {
			t.Errorf("%s: %v", name, n.Leaves[name])
		}
	}
}
