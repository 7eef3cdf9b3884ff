package store

import "testing"

// TestTheFounderThatOpensLeadsAtOnce founds a store whose members would wait for
// an election longer than this test waits for anything.
func TestTheFounderThatOpensLeadsAtOnce(t *testing.T) {
	t.Parallel()
	all := trio(t, "STORE_TEST_ELECTION=50s", "STORE_TEST_OPENS=b")
	all[1].ask("leads")
	all[1].says("true")
}
