package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"meridian/edge/cache/disk"
)

// A plant is a rig with a disk. It stands on real time: files do.
type plant struct {
	*rig
	cfg Config
}

func newPlant(t *testing.T, cfg Config) *plant {
	t.Helper()
	cfg.Memory, cfg.Object = 64<<10, 16<<10
	if cfg.Disk.Dir == "" {
		cfg.Disk = Disk{Dir: t.TempDir(), Bytes: 64 << 20, Node: "n"}
	}
	c, err := New(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{&rig{t: t, c: c, policy: Default()}, cfg}
	p.until("the folder is read", func() bool { return !c.tier.Loading() })
	t.Cleanup(func() {
		if p.c != nil {
			p.c.Stop()
		}
	})
	return p
}

// until waits for what happens behind everybody's back.
func (p *plant) until(what string, ok func() bool) {
	p.t.Helper()
	for range 20_000 {
		if ok() {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	p.t.Fatalf("in 20 s: not %s", what)
}

// flood takes all room from memory, and gives it back.
func (p *plant) flood() {
	p.t.Helper()
	p.squeeze()
	p.settle()
}

func (p *plant) squeeze() {
	p.c.store.objects.SetMaximum(0)
	p.c.store.objects.CleanUp()
	p.c.store.objects.SetMaximum(64 << 10)
}

func (p *plant) settle() {
	p.t.Helper()
	p.until("all is written", func() bool { return !p.c.tier.Pending() })
}

// again ends the cache and opens its folder anew. With kill the end is that of a
// process that is killed: nothing is closed, and the folder is as it was then.
func (p *plant) again(kill bool) *plant {
	p.t.Helper()
	cfg := p.cfg
	if kill {
		cfg.Disk.Dir = p.copied(cfg.Disk.Dir)
	}
	p.c.Stop()
	p.c = nil
	n := newPlant(p.t.(*testing.T), cfg)
	n.does(p.serve)
	return n
}

// copied returns a copy of a folder. What it holds may be removed meanwhile: then it
// is copied anew.
func (p *plant) copied(from string) string {
	for {
		dir := p.t.TempDir()
		err := os.CopyFS(dir, os.DirFS(from))
		if err == nil {
			return dir
		}
		if !errors.Is(err, os.ErrNotExist) {
			p.t.Fatal(err)
		}
	}
}

// only asks for what nothing but the cache can answer.
func (p *plant) only(line string) string {
	p.t.Helper()
	p.answering(500, "the origin")
	return p.do(line).body
}

func (p *plant) files() (out []string) {
	all, _ := filepath.Glob(filepath.Join(p.cfg.Disk.Dir, "*", "*"))
	return all
}

func TestWhatMemoryEvictsIsServedFromDiskAlsoAfterARestart(t *testing.T) {
	for _, kill := range []bool{false, true} {
		p := newPlant(t, Config{})
		p.answering(200, "one", "Cache-Control: max-age=600", "Etag: \"1\"", "X-A: b", "Cache-Tag: news", "Vary: Foo")
		p.do("GET /x?q", "Foo: 1")
		p.flood()
		n := p.count()
		got := p.do("GET /x?q", "Foo: 1")
		p.want(got, 200, "one", Hit, n)
		if !strings.Contains(got.CacheStatus, "detail=disk") || got.Header.Get("X-A") != "b" || got.Header.Get("Etag") != `"1"` {
			t.Errorf("%s %v", got.CacheStatus, got.Header)
		}
		if got := p.do("GET /x?q", "Foo: 1"); strings.Contains(got.CacheStatus, "disk") {
			t.Errorf("it did not go back to memory: %s", got.CacheStatus)
		}
		p.flood()
		p = p.again(kill)
		p.want(p.do("GET /x?q", "Foo: 1"), 200, "one", Hit, 0)
		p.want(p.do("GET /x?q", "Foo: 1", `If-None-Match: "1"`), 304, "", Hit, 0)
		p.want(p.do("GET /x?q", "Foo: 1", "Range: bytes=1-1"), 206, "n", Hit, 0)
		p.answering(200, "two", "Cache-Control: max-age=600", "Vary: Foo")
		p.want(p.do("GET /x?q", "Foo: 2"), 200, "two", Miss, 1)
	}
}

func TestWhatIsTooLargeForMemoryIsStreamedFromDisk(t *testing.T) {
	p := newPlant(t, Config{})
	body := strings.Repeat("0123456789abcdef", 200_000)
	p.answering(200, body, "Cache-Control: max-age=600", `Etag: "1"`)
	got := p.do("GET /large")
	p.want(got, 200, body, Miss, 1)
	if !strings.Contains(got.CacheStatus, "; stored") {
		t.Error(got.CacheStatus)
	}
	p.settle()
	for range 2 {
		p.want(p.do("GET /large"), 200, body, Hit, 1)
		p.want(p.do("GET /large", "Range: bytes=65530-65545"), 206, body[65530:65546], Hit, 1)
		p.want(p.do("GET /large", "Range: bytes=-3"), 206, body[len(body)-3:], Hit, 1)
		p.want(p.do("HEAD /large"), 200, "", Hit, 1)
		p = p.again(false)
		p.mu.Lock()
		p.asked = 1
		p.mu.Unlock()
	}
	if size := p.c.store.objects.WeightedSize(); size > 64<<10 {
		t.Errorf("memory holds %d bytes", size)
	}
	// The origin says that it holds: the body stays, with another head.
	p.answering(304, "", `Etag: "1"`, "Cache-Control: max-age=700", "X-New: 1")
	p.want(p.do("GET /large", "Cache-Control: no-cache"), 200, body, Revalidated, 2)
	p.settle()
	p = p.again(true)
	if got := p.do("GET /large"); got.body != body || got.Header.Get("X-New") != "1" || got.Outcome != Hit {
		t.Errorf("%d bytes, %v, %s", len(got.body), got.Header, got.CacheStatus)
	}
	p.answering(500, "")
	p.c.Purge(Purge{Path: "/large"})
	if got := p.do("GET /large"); got.Status != 500 {
		t.Errorf("a purge left %d %s", got.Status, got.CacheStatus)
	}
}

// TestWhatIsDamagedOnDiskIsAMiss changes every third byte of a file in turn, and cuts
// it there. Control, in the same test: without checksums some of that is
// answered.
func TestWhatIsDamagedOnDiskIsAMiss(t *testing.T) {
	for _, unchecked := range []bool{false, true} {
		wrong := 0
		dir := t.TempDir()
		open := func() *disk.Store {
			s, err := disk.Open(disk.Config{Dir: dir, Bytes: 1 << 20, Node: "n", Unchecked: unchecked}, disk.Deps{Label: labelOf})
			if err != nil {
				t.Fatal(err)
			}
			for s.Pending() {
				time.Sleep(100 * time.Microsecond)
			}
			return s
		}
		o := &object{status: 200, host: "a", path: "/x", header: http.Header{"Etag": {`"1"`}}, size: -1, received: time.Unix(1, 0), began: time.Unix(1, 0), body: wholeStream([][]byte{[]byte("the body")}, nil)}
		s := open()
		e := s.Offer(disk.Item{Label: label("k", o), HeadSize: o.headSize(), BodySize: 8, Head: func() []byte { return record("k", o) }, Body: o.body.writeTo})
		for s.Pending() {
			time.Sleep(100 * time.Microsecond)
		}
		if e == nil || s.Close() != nil {
			t.Fatal("nothing was stored")
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
		whole, err := os.ReadFile(files[0])
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		table, err := os.ReadFile(filepath.Join(dir, "table"))
		if err != nil {
			t.Fatal(err)
		}
		try := func(file []byte) (answered, same bool) {
			os.WriteFile(filepath.Join(dir, "table"), table, 0o600)
			os.WriteFile(files[0], file, 0o600)
			s := open()
			defer s.Close()
			for _, found := range s.Find(hashOf("k")) {
				tr := &tier{Store: s, now: time.Now}
				if got := tr.object(found); got != nil {
					var b bytes.Buffer
					got.body.writeTo(&b)
					return true, b.String() == "the body" && got.header.Get("Etag") == `"1"` && got.path == "/x"
				}
			}
			return false, false
		}
		if answered, same := try(whole); !answered || !same {
			t.Fatal("what was put in does not come out")
		}
		step := 3
		if unchecked {
			step = 5
		}
		for i := 0; i < len(whole); i += step {
			changed := bytes.Clone(whole)
			changed[i] ^= 1
			if answered, same := try(changed); answered && !same {
				wrong++
			} else if answered && !unchecked {
				t.Errorf("byte %d is not guarded", i)
			}
			if answered, _ := try(whole[:i]); answered {
				t.Errorf("a file that is cut after %d bytes is answered", i)
			}
		}
		if (wrong == 0) == unchecked {
			t.Errorf("without checksums %v: %d damaged files were answered with", unchecked, wrong)
		}
	}
}

// TestAPurgeIsNotUndoneByTheDisk purges what is on disk alone, in memory and on
// disk, and being written; with every kind of purge, and then starts anew as if
// the process had been killed. Control, in the same test: started anew from how
// it was before the purge, it answers with what was purged.
func TestAPurgeIsNotUndoneByTheDisk(t *testing.T) {
	for _, x := range []Purge{{Path: "/x"}, {Prefix: "/x"}, {Tag: "NEWS"}, {Everything: true}, {Path: "/x", Host: "a.test"}} {
		for _, soft := range []bool{false, true} {
			for _, where := range []string{"disk", "both", "queue"} {
				p := newPlant(t, Config{})
				p.answering(200, "old", "Cache-Control: max-age=600", "Etag: \"1\"", "Cache-Tag: news")
				p.do("GET /x?1")
				switch where {
				case "disk", "both":
					p.flood()
				case "queue":
					p.squeeze()
				}
				if where == "both" {
					p.do("GET /x?1")
				}
				x.Soft = soft
				before := p.cfg
				if before.Disk.Dir = t.TempDir(); where != "queue" {
					if err := os.CopyFS(before.Disk.Dir, os.DirFS(p.cfg.Disk.Dir)); err != nil {
						t.Fatal(err)
					}
					if got := newPlant(t, before).only("GET /x?1"); got != "old" {
						t.Errorf("%+v %s: before it there is %q", x, where, got)
					}
				}
				if n := p.c.Purge(x); n < 1 || x.Path != "" && n != 1 {
					t.Errorf("%+v %s: %d purged", x, where, n)
				}
				p.answering(200, "new", "Cache-Control: max-age=600", "Cache-Tag: news")
				p.settle()
				p = p.again(true)
				if got := p.do("GET /x?1"); got.body != "new" {
					t.Errorf("%+v %s: %q %s", x, where, got.body, got.CacheStatus)
				}
				if soft && p.header.Get("If-None-Match") == "" {
					t.Errorf("%+v %s: it is gone, not stale", x, where)
				}
			}
		}
	}
}

// TestWhatIsNewerInMemoryIsNotUndoneByTheDisk: the origin's newer answer, and its
// word that nothing is to be stored, stand after a restart.
func TestWhatIsNewerInMemoryIsNotUndoneByTheDisk(t *testing.T) {
	for _, next := range []func() *http.Response{
		func() *http.Response { return response(200, "new", "Cache-Control: max-age=600") },
		func() *http.Response { return response(304, "", "Etag: \"1\"", "Cache-Control: no-store") },
	} {
		p := newPlant(t, Config{})
		p.answering(200, "old", "Cache-Control: max-age=600", "Etag: \"1\"")
		p.do("GET /x")
		p.flood()
		p.does(func(http.Header) (*http.Response, error) { return next(), nil })
		p.do("GET /x", "Cache-Control: no-cache")
		p = p.again(true)
		p.answering(200, "new", "Cache-Control: max-age=600")
		if got := p.do("GET /x"); got.body != "new" {
			t.Errorf("%q %s", got.body, got.CacheStatus)
		}
	}
}

func TestTheDiskIsBoundedAndWhatIsUsedStays(t *testing.T) {
	p := newPlant(t, Config{Disk: Disk{Dir: t.TempDir(), Bytes: 1 << 20, Node: "n"}})
	p.answering(200, strings.Repeat("k", 8<<10), "Cache-Control: max-age=600")
	p.do("GET /kept")
	for range 8 {
		p.flood()
		p.do("GET /kept")
		p.answering(200, strings.Repeat("r", 8<<10), "Cache-Control: max-age=600")
		for i := range 40 {
			p.do(fmt.Sprintf("GET /r/%d/%d", p.count(), i))
		}
		p.settle()
	}
	size := int64(0)
	for _, f := range p.files() {
		info, err := os.Stat(f)
		if errors.Is(err, os.ErrNotExist) { // it made room meanwhile
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		size += (info.Size() + 4095) / 4096 * 4096
	}
	if size > 1<<20 || size < 512<<10 {
		t.Errorf("%d bytes on disk, want at most 1 MiB, and not little", size)
	}
	n := p.count()
	if p.do("GET /kept"); p.count() != n {
		t.Error("what was used again and again is gone")
	}
}

var _ io.Reader = (*disk.Body)(nil)
