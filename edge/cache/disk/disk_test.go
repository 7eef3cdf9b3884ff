package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A head of these tests is "key path tag variant".
func labelOf(head []byte) (l Label, err error) {
	f := strings.Fields(string(head))
	if len(f) != 4 {
		return l, errors.New("no label")
	}
	copy(l.Key[:], f[0])
	l.Path, l.Tags, l.Variant = f[1], []string{f[2]}, uint64(len(f[3]))
	return l, nil
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Bytes == 0 {
		cfg.Bytes = 1 << 20
	}
	if cfg.Node == "" {
		cfg.Node = "n"
	}
	s, err := Open(cfg, Deps{Label: labelOf})
	if err != nil {
		t.Fatal(err)
	}
	settle(s)
	return s
}

// settle waits until everything is written: the store tells nobody.
func settle(s *Store) {
	for s.Pending() {
		time.Sleep(50 * time.Microsecond)
	}
}

// put stores a body under a head, and returns the entry.
func put(t testing.TB, s *Store, head, body string) *Entry {
	t.Helper()
	l, err := labelOf([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	e := s.Offer(Item{Label: l, Held: head, HeadSize: int64(len(head)), BodySize: int64(len(body)), Head: func() []byte { return []byte(head) },
		Body: func(w io.Writer) error { _, err := io.WriteString(w, body); return err }})
	settle(s)
	return e
}

// get returns what stands under a key: "head: body" of each, the newest last.
func get(t testing.TB, s *Store, key string) (out []string) {
	t.Helper()
	var k [16]byte
	copy(k[:], key)
	for _, f := range s.Find(k) {
		head, body, err := s.Read(f.Entry)
		if err != nil {
			continue
		}
		b := new(strings.Builder)
		if err = body.From(0, body.Size); err == nil {
			_, err = io.Copy(b, body)
		}
		body.Close()
		if err == nil {
			out = append(out, string(head)+": "+b.String())
		}
	}
	return out
}

func want(t testing.TB, s *Store, key string, want ...string) {
	t.Helper()
	if got := get(t, s, key); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %.200q, want %.200q", key, got, want)
	}
}

func TestWhatWasPutInIsThereAfterTheNextStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	large := strings.Repeat("0123456789", 20_000)
	put(t, s, "a /x t v", "one")
	put(t, s, "a /x t vv", large)
	put(t, s, "a /x t v", "two") // in place of the first
	put(t, s, "b /y t v", "")
	want(t, s, "a", "a /x t vv: "+large, "a /x t v: two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	defer s.Close()
	if got := get(t, s, "a"); len(got) != 2 {
		t.Errorf("%d variants after a restart", len(got))
	}
	want(t, s, "b", "b /y t v: ")
	if st := s.Stats(); st.Entries != 3 || st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
}

// TestWhoseFolderItIs opens a folder as those may not who did not write it. The
// control is the first case: the same one may.
func TestWhoseFolderItIs(t *testing.T) {
	for _, x := range []struct {
		name  string
		crash bool // the folder was not closed
		cfg   Config
		spoil func(table []byte)
		found bool
	}{
		{name: "the same", found: true},
		{name: "the same, killed", crash: true, found: true},
		{name: "the machine went down after a good end", cfg: Config{Boot: "later"}, found: true},
		{name: "the machine went down", crash: true, cfg: Config{Boot: "later"}},
		{name: "a machine that does not say when it started", crash: true, cfg: Config{Boot: " "}},
		{name: "more room", cfg: Config{Bytes: 64 << 20}, found: true},
		{name: "another node", cfg: Config{Node: "other"}},
		{name: "another version", spoil: func(b []byte) { b[7]++ }},
		{name: "a damaged header", spoil: func(b []byte) { b[20]++ }},
	} {
		dir := t.TempDir()
		s := open(t, Config{Dir: dir, Boot: "now"})
		put(t, s, "a /x t v", "one")
		if x.crash {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			dir = copied
		}
		s.Close()
		if x.spoil != nil {
			name := filepath.Join(dir, tableName)
			b, _ := os.ReadFile(name)
			x.spoil(b)
			os.WriteFile(name, b, 0o600)
		}
		if x.cfg.Dir = dir; x.cfg.Boot == "" {
			x.cfg.Boot = "now"
		}
		s = open(t, x.cfg)
		if found := len(get(t, s, "a")) == 1; found != x.found {
			t.Errorf("%s: found %v", x.name, found)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); (len(files) == 1) != x.found {
			t.Errorf("%s: %d files stay", x.name, len(files))
		}
		put(t, s, "c /x t v", "three")
		want(t, s, "c", "c /x t v: three")
		s.Close()
	}
}

func TestTwoProcessesDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	defer s.Close()
	if _, err := Open(Config{Dir: dir, Bytes: 1 << 20, Node: "n"}, Deps{Label: labelOf}); !errors.Is(err, errTaken) {
		t.Errorf("%v", err)
	}
}

// TestAFileOfAnotherStoreIsNotRead puts a good file of one folder into another,
// and one of a slot into another slot.
func TestAFileOfAnotherStoreIsNotRead(t *testing.T) {
	a, b := open(t, Config{Dir: t.TempDir()}), open(t, Config{Dir: t.TempDir()})
	defer a.Close()
	defer b.Close()
	x, y := put(t, a, "a /x t v", "theirs"), put(t, b, "a /x t v", "mine")
	other := put(t, b, "c /x t v", "another")
	move := func(from, to string) {
		whole, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, whole, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	move(b.path(other.slot), b.path(y.slot))
	want(t, b, "a")
	y = put(t, b, "a /x t v", "mine")
	want(t, b, "a", "a /x t v: mine")
	move(a.path(x.slot), b.path(y.slot))
	want(t, b, "a")
	if st := b.Stats(); st.Damaged != 2 {
		t.Errorf("%+v", st)
	}
}

// TestWhatIsDoneWhileTheFolderIsReadCounts purges, and supersedes, what was not
// found yet.
func TestWhatIsDoneWhileTheFolderIsReadCounts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for _, head := range []string{"a /x t v", "b /y t v", "c /z u v", "d /w w v"} {
		put(t, s, head, "body")
	}
	s.Close()
	read := make(chan struct{})
	s, err := Open(Config{Dir: dir, Bytes: 1 << 20, Node: "n"}, Deps{Label: func(head []byte) (Label, error) {
		<-read
		return labelOf(head)
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Purge(Purge{Path: "/x", Matches: func(l Label) bool { return l.Path == "/x" }})
	s.Purge(Purge{Tag: "u", Matches: func(l Label) bool { return l.Tags[0] == "u" }, Soft: time.UnixMilli(7)})
	d, _ := labelOf([]byte("d /w w v"))
	s.Supersede(d, nil)
	close(read)
	settle(s)
	check := func(s *Store) {
		t.Helper()
		want(t, s, "a")
		want(t, s, "b", "b /y t v: body")
		want(t, s, "d")
		if f := s.Find([16]byte{'c'}); len(f) != 1 || !f[0].Soft.Equal(time.UnixMilli(7)) {
			t.Errorf("%+v", f)
		}
	}
	check(s)
	s.Close()
	s = open(t, Config{Dir: dir})
	defer s.Close()
	check(s)
}

// TestAHeadIsReplaced also while the file is being read, and what was purged
// before the new head is written is not found with it.
func TestAHeadIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	body := strings.Repeat("b", 3*blockSize)
	e := put(t, s, "a /x t v", body)
	_, r, err := s.Read(e)
	if err != nil {
		t.Fatal(err)
	}
	s.Rehead(e, "held", 8, func() []byte { return []byte("a /x u v") })
	settle(s)
	if err := r.From(blockSize, 5); err != nil {
		t.Error(err)
	}
	r.Close()
	want(t, s, "a", "a /x u v: "+body)
	s.Close()
	s = open(t, Config{Dir: dir})
	defer s.Close()
	want(t, s, "a", "a /x u v: "+body)
	e = s.Find([16]byte{'a'})[0].Entry
	s.Rehead(e, "held", 8, func() []byte {
		s.Purge(Purge{Matches: func(Label) bool { return true }})
		return []byte("a /x w v")
	})
	settle(s)
	if seq, _ := s.table.get(e.slot); seq != 0 {
		t.Error("what was purged is in the table")
	}
	want(t, s, "a")
}

// TestABodyThatTheDiskIsTooSlowForIsGivenUp, and one that ends early is not kept.
func TestABodyThatTheDiskIsTooSlowForIsGivenUp(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Bytes: 8 << 20})
	defer s.Close()
	l, _ := labelOf([]byte("a /x t v"))
	head := func() []byte { return []byte("a /x t v") }
	piece := bytes.Repeat([]byte("p"), 10_000)
	run := func(pieces int, started, whole bool) (published bool) {
		k := s.Create(l, 100, int64(pieces)*10_000)
		done := make(chan bool, 1)
		start := func() {
			k.Start(head, func(publish func(time.Time) bool) { done <- publish != nil && publish(time.Time{}) })
		}
		if started {
			start()
		}
		for range pieces {
			k.Offer(piece)
			for started && len(k.blocks) > sinkBehind/2 {
				time.Sleep(50 * time.Microsecond)
			}
		}
		if whole {
			k.Finish()
		} else {
			k.GiveUp()
		}
		if !started {
			start()
		}
		return <-done
	}
	if run(sinkBehind+1, false, true) || run(10, true, false) {
		t.Error("a part was kept")
	}
	settle(s)
	if st := s.Stats(); st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
	if !run(200, true, true) {
		t.Error("control: what came in time was not kept")
	}
	want(t, s, "a", "a /x t v: "+strings.Repeat("p", 2_000_000))
}

// TestManySmallOnesDoNotEmptyTheStore: where slots end before bytes do, one goes
// for each that comes.
func TestManySmallOnesDoNotEmptyTheStore(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Bytes: 16 << 20})
	defer s.Close()
	for i := range minSlots + 300 {
		put(t, s, fmt.Sprintf("%d /x t v", i), "b")
		if n := s.Stats().Entries; i > minSlots && n < minSlots-2*spare {
			t.Fatalf("after %d there are %d", i, n)
		}
	}
}

// TestATableThatFailsIsForgotten: where a purge cannot be written down, the next
// start finds nothing.
func TestATableThatFailsIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	put(t, s, "a /x t v", "one")
	put(t, s, "b /x t v", "two")
	if err := s.table.file.Truncate(headerSize / 2); err != nil { // what is mapped behind it faults
		t.Fatal(err)
	}
	s.Purge(Purge{Path: "/x", Matches: func(Label) bool { return true }})
	settle(s)
	want(t, s, "a")
	s.Close()
	s = open(t, Config{Dir: dir})
	defer s.Close()
	want(t, s, "a")
	want(t, s, "b")
	put(t, s, "c /x t v", "three")
	want(t, s, "c", "c /x t v: three")
}
