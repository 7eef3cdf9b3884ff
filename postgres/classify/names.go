package classify

import "strings"

// Names are what the catalogues of a standby say about names. Names are
// compared without their schema, which errs to the safe side. A Names must
// not be changed once it is in use.
type Names struct {
	// Known holds the functions that may run on a standby.
	Known map[string]bool
	// Reaches says of a function, view, table, sequence, type or operator why
	// a text that names it belongs on the primary.
	Reaches map[string]string
	// Leaves holds those of Reaches that may leave something in the session.
	Leaves map[string]bool
}

// silentReason returns why a construct that a standby would answer differently
// without an error, or with an effect on the standby alone, belongs on the
// primary; or "".
func silentReason(name string) string {
	if !strings.HasPrefix(name, "pg_") && !strings.HasPrefix(name, "lo_") {
		return silentNames[name]
	}
	for _, p := range silentPrefixes {
		if strings.HasPrefix(name, p.text) {
			return p.why
		}
	}
	return silentNames[name]
}

var silentPrefixes = []struct{ text, why string }{
	{"pg_advisory_", "an advisory lock holds only where it was taken"},
	{"pg_try_advisory_", "an advisory lock holds only where it was taken"},
	{"pg_stat_reset", "statistics are reset only where it runs"},
	{"pg_replication_", "replication state belongs to the primary"},
	{"pg_logical_", "logical decoding belongs to the primary"},
	{"pg_wal_replay_", "it would stop or start this replica's replay"},
	{"lo_", "a large object's descriptor belongs to its session"},
	{"pg_temp", "temporary objects belong to the session that made them"},
}

const (
	whySequence = "a sequence's state belongs to the primary"
	whyServer   = "it acts on the server where it runs"
	whyText     = "it runs a text that cannot be seen"
)

var silentNames = map[string]string{
	"nextval": whySequence, "setval": whySequence, "currval": whySequence, "lastval": whySequence,
	"last_value": whySequence, "pg_sequences": whySequence, "pg_sequence_last_value": whySequence,

	"pg_reload_conf": whyServer, "pg_rotate_logfile": whyServer, "pg_promote": whyServer,
	"pg_terminate_backend": whyServer, "pg_cancel_backend": whyServer, "pg_export_snapshot": whyServer,
	"pg_create_physical_replication_slot": whyServer, "pg_create_logical_replication_slot": whyServer,
	"pg_copy_physical_replication_slot": whyServer, "pg_copy_logical_replication_slot": whyServer,
	"pg_drop_replication_slot": whyServer, "pg_switch_wal": whyServer, "pg_create_restore_point": whyServer,
	"pg_backup_start": whyServer, "pg_backup_stop": whyServer, "pg_log_backend_memory_contexts": whyServer,
	"loread": whyServer, "lowrite": whyServer,

	"pg_backend_pid": "the session's process is the primary's",
	"pg_locks":       "locks are the primary's", "pg_prepared_xacts": "two-phase commit",

	"pg_notify": "notifications come from the primary", "pg_listening_channels": "the session listens on the primary",
	"txid_current": "transaction ids are given by the primary", "pg_current_xact_id": "transaction ids are given by the primary",

	"query_to_xml": whyText, "query_to_xmlschema": whyText, "query_to_xml_and_xmlschema": whyText,
	"cursor_to_xml": whyText, "cursor_to_xmlschema": whyText, "ts_stat": whyText, "ts_rewrite": whyText,
	"table_to_xml": whyText, "schema_to_xml": whyText, "database_to_xml": whyText,
	"table_to_xml_and_xmlschema": whyText, "schema_to_xml_and_xmlschema": whyText, "database_to_xml_and_xmlschema": whyText,
}

// grammar are words that may stand before a parenthesis and are no function.
var grammar = set(`all analyze and any array as between bit both by case cast char character check coalesce
	collate cross cube current current_date current_time current_timestamp dec decimal distinct else end except
	exists explain extract fetch filter first float following for from full group grouping greatest having ilike
	in inner int integer intersect interval is isnull join lateral leading least left like limit localtime
	localtimestamp match materialized nchar national next natural normalize not notnull null nullif numeric of
	offset on only operator or order ordinality outer over overlaps overlay partition position preceding precision
	range recursive returning right rollup row rows select sets setof similar smallint some substring symmetric
	table tablesample then time timestamp to trailing treat trim union using values varbit varchar varying when
	where window with within without xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
	xmlparse xmlpi xmlroot xmlserialize xmltable zone`)

// introduces are grammar words after which a name and a parenthesis are no call:
// they introduce a name of the text's own.
var introduces = set("as with recursive materialized")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
