package instance

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// guarded are the settings on which a guarantee or this package's own work
// hangs; the config cannot change them.
var guarded = []string{
	"fsync", "full_page_writes", "listen_addresses", "unix_socket_directories", "port",
	"primary_conninfo", "primary_slot_name", "hot_standby", "wal_log_hints", "restart_after_crash",
	"synchronous_standby_names", "synchronous_commit", "track_commit_timestamp",
	"log_destination", "logging_collector", "lc_messages", "data_directory", "hba_file",
}

func checkSettings(more map[string]string) error {
	for name, value := range more {
		if slices.Contains(guarded, strings.ToLower(name)) {
			return fmt.Errorf("setting %s is Meridian's own and cannot be changed", name)
		}
		if strings.ContainsAny(name+value, "\n\r\x00") {
			return fmt.Errorf("setting %q: line breaks are not allowed", name)
		}
	}
	return nil
}

// settings returns what postgresql.conf says: the same in all regions, so that
// a standby never has less of a resource than the primary (it would stop), and
// each could take the other's place.
func (c Config) settings(upstream string) map[string]string {
	connections := c.MaxConnections
	if connections == 0 {
		connections = 100
	}
	buffers := c.SharedBuffers
	if buffers == "" {
		buffers = "64MB"
	}
	s := map[string]string{
		"max_connections":               strconv.Itoa(connections),
		"shared_buffers":                buffers,
		"max_worker_processes":          "8",
		"max_prepared_transactions":     "0",
		"max_locks_per_transaction":     "64",
		"max_wal_senders":               "20",
		"max_replication_slots":         "20",
		"max_slot_wal_keep_size":        "2GB", // a region that stays away must not fill the primary's disk
		"wal_keep_size":                 "64MB",
		"max_wal_size":                  "512MB",
		"wal_level":                     "replica",
		"hot_standby_feedback":          "on",
		"max_standby_streaming_delay":   "1s",
		"max_standby_archive_delay":     "1s", // what a restarted standby reads from its own pg_wal
		"recovery_min_apply_delay":      "0",
		"wal_receiver_status_interval":  "1s",
		"wal_receiver_timeout":          "5s",
		"wal_sender_timeout":            "5s",
		"wal_retrieve_retry_interval":   "100ms",
		"wal_receiver_create_temp_slot": "off",
		"jit":                           "off", // its start costs more than a function's query
		"timezone":                      "UTC",
		"log_timezone":                  "UTC",
		"datestyle":                     "iso, mdy",
		"log_line_prefix":               "",
		"log_min_messages":              "log",   // not ERROR: each statement that a standby refuses is one
		"log_min_error_statement":       "panic", // statements hold the users' data
		"log_checkpoints":               "off",
		"password_encryption":           "scram-sha-256",
	}
	maps.Copy(s, c.Settings)
	maps.Copy(s, map[string]string{
		"fsync":                   "on",
		"full_page_writes":        "on",
		"wal_log_hints":           "on",
		"hot_standby":             "on",
		"restart_after_crash":     "on",
		"synchronous_commit":      "on",
		"track_commit_timestamp":  "on", // the proxy asks which commits do not show yet
		"listen_addresses":        "",
		"port":                    "5432",
		"unix_socket_directories": c.SocketDir,
		"unix_socket_permissions": "0700",
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"lc_messages":             "C", // log.go reads them
		"primary_conninfo":        conninfo(upstream, c.slot()),
		"primary_slot_name":       c.slot(),
	})
	return s
}

// conninfo is how a standby reaches the primary: through the socket that this
// process makes, as the region that it is.
func conninfo(upstream, name string) string {
	return fmt.Sprintf("host='%s' port=5432 user=%s application_name=%s connect_timeout=10 sslmode=disable gssencmode=disable",
		upstream, Replication, name)
}

// conf writes settings as a configuration file, in order of their names.
func conf(settings map[string]string) string {
	var b strings.Builder
	b.WriteString("# Written at each start. Use the config's settings instead.\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(settings[name]))
	}
	return b.String()
}

// hba trusts whoever can enter the socket's folder.
const hba = `# Written at each start.
local all         all trust
local replication all trust
`
