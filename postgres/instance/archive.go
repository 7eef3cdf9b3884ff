package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// ArchiveSlot keeps the log that the archive does not have yet. Like every
// slot it keeps no more than max_slot_wal_keep_size: an archive that cannot be
// written to must not fill the disk.
const ArchiveSlot = "meridian_archive"

// A LogEnd is how far this cluster's log goes.
type LogEnd struct {
	System   uint64
	Primary  bool
	Timeline uint32
	LSN      meridian.LSN // all before it is on this disk
	Segment  uint64       // bytes of a WAL file
	Kept     meridian.LSN // the archive's slot keeps the log from here on
}

// A LogFile is a file of the log that does not change any more: a WAL file
// that is full, or the history of a timeline.
type LogFile struct {
	Name string
	Path string
	End  meridian.LSN // 0 of a history
}

// logEnd answers in one row: whether in recovery, timeline in hexadecimal,
// position, system, bytes of a WAL file, and where the archive's slot is. A
// standby's timeline is that of what it receives; without a receiver it is not
// known for certain, and the row says nothing.
const logEnd = `SELECT pg_is_in_recovery(),
	CASE WHEN pg_is_in_recovery() THEN (SELECT lpad(to_hex(received_tli), 8, '0') FROM pg_stat_wal_receiver)
		ELSE substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) END,
	CASE WHEN pg_is_in_recovery() THEN (SELECT least(flushed_lsn, pg_last_wal_replay_lsn()) FROM pg_stat_wal_receiver)
		ELSE pg_current_wal_flush_lsn() END,
	(SELECT system_identifier FROM pg_control_system()),
	(SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'),
	(SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '` + ArchiveSlot + `')`

// KeepLog makes the archive's slot where it is missing, and returns how far the
// log goes. It reports a gap if the slot was given up: log is gone that the
// archive never got.
func (in *Instance) KeepLog(ctx context.Context) (end LogEnd, gap bool, err error) {
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return end, false, in.unavailable("keep the log for the archive", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if gap, err = dropGivenUp(ctx, conn); err != nil {
		return end, gap, err
	}
	r := conn.ExecParams(ctx, "SELECT pg_create_physical_replication_slot($1, true)", texts(ArchiveSlot), nil, nil, nil).Read()
	if r.Err != nil && !isDuplicate(r.Err) {
		return end, gap, fmt.Errorf("replication slot %s: %w", ArchiveSlot, r.Err)
	}
	r = conn.ExecParams(ctx, logEnd, nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != 1 {
		return end, gap, in.unavailable("find the end of the log", errors.Join(r.Err))
	}
	end, err = parseLogEnd(r.Rows[0])
	return end, gap, err
}

func dropGivenUp(ctx context.Context, conn *pgconn.PgConn) (bool, error) {
	r := conn.ExecParams(ctx, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND wal_status = 'lost'", texts(ArchiveSlot), nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) == 0 {
		return false, r.Err
	}
	return true, dropLost(ctx, conn, ArchiveSlot)
}

func parseLogEnd(row [][]byte) (end LogEnd, err error) {
	if row[1] == nil || row[2] == nil {
		return end, meridian.WithKind(meridian.Unavailable, errors.New("this standby receives no log now"))
	}
	tl, err1 := strconv.ParseUint(string(row[1]), 16, 32)
	lsn, err2 := meridian.ParseLSN(string(row[2]))
	sys, err3 := strconv.ParseInt(string(row[3]), 10, 64)
	size, err4 := strconv.ParseUint(string(row[4]), 10, 64)
	kept, err5 := meridian.ParseLSN(string(row[5]))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return end, fmt.Errorf("find the end of the log: %w", err)
	}
	return LogEnd{System: uint64(sys), Primary: string(row[0]) == "f", Timeline: uint32(tl), LSN: lsn, Segment: size, Kept: kept}, nil
}

// ReleaseLog lets go of the log before at, which the archive has.
func (in *Instance) ReleaseLog(ctx context.Context, at meridian.LSN) error {
	return in.moveSlots(ctx, []slot{{ArchiveSlot, at}})
}

// walFile and historyName are the files of pg_wal that an archive holds.
var (
	walFile     = regexp.MustCompile(`^[0-9A-F]{24}$`)
	historyName = regexp.MustCompile(`^[0-9A-F]{8}\.history$`)
)

// Finished lists the files of the log up to end that do not change any more, in
// the order in which they were written, and never one of another history: what
// stands after the fork in an ancestor's last file is not this database's.
func (in *Instance) Finished(end LogEnd) (files []LogFile, err error) {
	h, err := in.historyOf(end.Timeline)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(in.data(), "pg_wal")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := LogFile{Name: e.Name(), Path: filepath.Join(dir, e.Name())}
		keep := false
		switch {
		case walFile.MatchString(f.Name):
			keep = f.finished(h, end)
		case historyName.MatchString(f.Name):
			keep, err = ofHistory(f.Path, f.Name, h, end.Timeline)
		}
		if err != nil {
			return nil, err
		}
		if keep {
			files = append(files, f)
		}
	}
	slices.SortStableFunc(files, func(a, b LogFile) int { // histories first: they are small, and name the rest
		switch {
		case a.End < b.End:
			return -1
		case a.End > b.End:
			return 1
		}
		return 0
	})
	return files, nil
}

// finished reports whether a WAL file is full, of this history, and kept by the
// slot: one that is not kept may be renamed while it is read.
func (f *LogFile) finished(h history, end LogEnd) bool {
	tl, start, err := SegmentOf(f.Name, end.Segment)
	if err != nil {
		return false
	}
	f.End = start + meridian.LSN(end.Segment)
	last := end.LSN
	if tl != end.Timeline {
		left, ours := h.left(tl)
		if !ours {
			return false
		}
		last = left
	}
	return f.End <= last && f.End > end.Kept
}

// ofHistory reports whether a history file is of this log's, and not one that
// only reserves a timeline (timeline.go).
func ofHistory(path, name string, h history, now uint32) (bool, error) {
	tl, err := strconv.ParseUint(name[:8], 16, 32)
	if err != nil {
		return false, nil
	}
	if _, ours := h.left(uint32(tl)); !ours && uint32(tl) != now {
		return false, nil
	}
	content, err := os.ReadFile(path)
	return string(content) != reserved, ignoreMissing(err)
}

// SegmentOf returns the timeline of a WAL file of so many bytes and where it
// begins.
func SegmentOf(name string, segment uint64) (timeline uint32, start meridian.LSN, err error) {
	if !walFile.MatchString(name) || segment < walPage || segment > 1<<32 {
		return 0, 0, fmt.Errorf("%.80q is no WAL file", name)
	}
	tl, _ := strconv.ParseUint(name[:8], 16, 32)
	id, _ := strconv.ParseUint(name[8:16], 16, 32)
	n, _ := strconv.ParseUint(name[16:], 16, 32)
	if tl == 0 || n >= (uint64(1)<<32)/segment {
		return 0, 0, fmt.Errorf("%.80q is no WAL file of %d bytes", name, segment)
	}
	return uint32(tl), meridian.LSN(id<<32 + n*segment), nil
}

// SegmentFile names the WAL file that holds a position.
func SegmentFile(timeline uint32, at meridian.LSN, segment uint64) string {
	return segmentFile(timeline, at, segment)
}

// Unfinished returns the WAL file that is being written, filled up with zeros
// after what is on disk.
func (in *Instance) Unfinished(end LogEnd) (name string, content []byte, err error) {
	name = segmentFile(end.Timeline, end.LSN, end.Segment)
	f, err := os.Open(filepath.Join(in.data(), "pg_wal", name))
	if err != nil {
		return name, nil, err
	}
	defer f.Close()
	content = make([]byte, end.Segment)
	_, err = io.ReadFull(f, content[:uint64(end.LSN)%end.Segment])
	return name, content, err
}

// Turns reads a timeline history file: where it left each of its ancestors.
func Turns(content string) (map[uint32]meridian.LSN, error) {
	h, err := parseHistory(content)
	out := map[uint32]meridian.LSN{}
	for _, t := range h {
		out[t.Timeline] = t.End
	}
	return out, err
}

// BaseBackup writes a copy of the whole database to w: a tar archive that ends
// with a manifest of its checksums, and holds the log that makes it consistent.
func (in *Instance) BaseBackup(ctx context.Context, w io.Writer) error {
	_, err := in.pipe(ctx, "", w, "pg_basebackup", "--pgdata", "-", "--format", "tar", "--wal-method", "fetch",
		"--checkpoint", "fast", "--manifest-checksums", "SHA256", "--label", "meridian",
		"--dbname", conninfo(in.cfg.SocketDir, "meridian_backup"))
	return err
}
