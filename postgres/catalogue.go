package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/pool"
)

// catalogueEvery is how often a standby's catalogues are looked at for changes.
const catalogueEvery = time.Second

// A catalogue keeps the names that decide where a text may run in step with
// the local PostgreSQL's catalogues. On the primary nothing depends on them,
// until it is primary no more.
type catalogue struct {
	p    *Proxy
	wake chan struct{}
	defs atomic.Uint64 // how many definitions were heard of, or more

	mu    sync.Mutex     // guards what follows
	read  bool           // the names were read at least once
	told  int            // how often another region said that they changed
	asked int            // how often of these it is known up to where
	need  meridian.Token // names read before this position may be wrong
	as    meridian.Token // where the catalogues were no older than the names in force
	from  *replica       // whose they are; of run alone
	begin string         // what sessions begin with there, "" before it was read; of run alone
	tells map[chan struct{}]bool
}

func newCatalogue(p *Proxy) *catalogue {
	return &catalogue{p: p, wake: make(chan struct{}, 1), tells: map[chan struct{}]bool{}}
}

// changed says that a session changed the catalogues up to a position. Until
// they are read again, reads go to the primary.
func (k *catalogue) changed(at meridian.Token) {
	k.defs.Add(1)
	k.mu.Lock()
	k.need = newest(k.need, at)
	k.mu.Unlock()
	k.poke()
}

func (k *catalogue) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// defined tells the other regions' proxies that a session changed the
// catalogues here, on the primary. It is called before the session's client
// hears of its success, so that whoever learns of it by the client comes later.
func (k *catalogue) defined() {
	k.defs.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.tells {
		select {
		case c <- struct{}{}:
		default: // one is on its way
		}
	}
}

// tell lets defined write to c, until stop is called.
func (k *catalogue) tell(c chan struct{}) (stop func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tells[c] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.tells, c)
	}
}

// heard notes what the primary's proxy tells by defined.
func (k *catalogue) heard() {
	k.defs.Add(1)
	k.mu.Lock()
	k.told++
	k.mu.Unlock()
	k.poke()
}

// behind reports whether the names may be wrong.
func (k *catalogue) behind() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.read || k.told > k.asked || !k.need.IsZero()
}

// asOf returns a position at which the names in force held: where PostgreSQL has
// not come so far, others may have.
func (k *catalogue) asOf() meridian.Token {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.as
}

// source returns the replica whose catalogues are read: the region's own, or
// while that is down another.
func (k *catalogue) source() *replica {
	for _, r := range k.p.replicas {
		if _, up := r.watch.stands(); up {
			return r
		}
	}
	return k.p.own()
}

// caughtUp says that the names were read when at was served. While the primary
// is away nothing is replayed either, and where it is here nothing is awaited:
// the names are those of what is here.
func (k *catalogue) caughtUp(at meridian.Token) {
	_, here := k.p.primary()
	away := here || k.p.away() != ""
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read = true
	if away || at.System != k.need.System || reached(at, k.need) {
		k.need = meridian.Token{}
	}
	if away {
		k.asked = k.told
	}
}

// await waits until what changed is replayed here.
func (k *catalogue) await(ctx context.Context) {
	k.mu.Lock()
	told, asked, need := k.told, k.asked, k.need
	k.mu.Unlock()
	if told > asked {
		ask, cancel := context.WithTimeout(ctx, k.p.cfg.PrimaryTimeout)
		a, err := k.p.probe.ask(ask)
		cancel()
		k.mu.Lock()
		if err == nil {
			k.need, k.asked = newest(k.need, a.token), told
		}
		need = k.need
		k.mu.Unlock()
	}
	k.source().watch.wait(ctx, need, catalogueEvery)
}

// run reads the catalogues until ctx is canceled.
func (k *catalogue) run(ctx context.Context) {
	var conn *pool.Backend
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	tick, retry := time.NewTicker(catalogueEvery), time.NewTimer(0)
	defer tick.Stop()
	defer retry.Stop()
	seen := ""
	for {
		err := k.refresh(ctx, &conn, &seen)
		if err != nil && ctx.Err() == nil {
			retry.Reset(2 * reconnectEvery)
			k.p.deps.Log.Debug("cannot read the catalogues", "error", err)
			if conn != nil {
				conn.Close()
				conn, seen = nil, ""
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-retry.C:
		case <-k.wake:
		}
		if k.behind() { // what changed must be replayed first
			k.await(ctx)
		}
	}
}

// refresh reads the names if the catalogues changed since they were last read.
func (k *catalogue) refresh(ctx context.Context, conn **pool.Backend, seen *string) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if from := k.source(); from != k.from && *conn != nil {
		(*conn).Close()
		*conn = nil
	}
	if *conn == nil {
		k.from = k.source()
		c, err := pool.Connect(ctx, k.from.dial, k.p.cfg.Role, k.p.cfg.Database, nil)
		if err != nil {
			return err
		}
		*conn, *seen = c, ""
	}
	at, err := k.from.watch.sample(ctx)
	if err != nil {
		return err
	}
	(*conn).Conn.SetDeadline(time.Now().Add(watchTimeout))
	rows, err := (*conn).Run(fingerprintSQL)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("the catalogues' fingerprint has %d rows", len(rows))
	}
	if rows[0][0] != *seen {
		names, err := readNames(*conn, k.p.cfg.LocalFunctions)
		if err != nil {
			return err
		}
		if err := k.held(ctx); err != nil {
			return err
		}
		k.p.verdicts.SetNames(names)
		*seen = rows[0][0]
	}
	k.settled(rows[0][1])
	k.caughtUp(at.served)
	return nil
}

// settled takes what sessions begin with. Warm connections began with what was
// there before.
func (k *catalogue) settled(begin string) {
	if k.begin != "" && begin != k.begin {
		for _, r := range k.p.replicas {
			r.pool.Renew()
		}
	}
	k.begin = begin
}

// held notes how far PostgreSQL is once the names were read.
func (k *catalogue) held(ctx context.Context) error {
	if len(k.p.replicas) == 1 {
		return nil
	}
	after, err := k.from.watch.sample(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.as = after.served
	return nil
}

// builtin are the schemas that come with PostgreSQL.
const builtin = `('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)`

// fingerprintSQL changes whenever readNames would read something else. Its second
// column does when the settings change that roles and databases give to sessions.
const fingerprintSQL = `SELECT md5(coalesce(string_agg(x, ',' ORDER BY x), '')),
 (SELECT md5(coalesce(string_agg(d::text, ',' ORDER BY d::text), '')) FROM pg_db_role_setting AS d) FROM (
 SELECT 'f' || oid || ':' || xmin AS x FROM pg_proc WHERE pronamespace NOT IN ` + builtin + `
 UNION ALL SELECT 'r' || oid || ':' || xmin FROM pg_rewrite WHERE oid >= 16384
 UNION ALL SELECT 'p' || oid || ':' || xmin FROM pg_policy
 UNION ALL SELECT 'o' || oid || ':' || xmin FROM pg_operator WHERE oid >= 16384
 UNION ALL SELECT 'k' || oid || ':' || xmin FROM pg_cast WHERE oid >= 16384
 UNION ALL SELECT 't' || oid || ':' || xmin FROM pg_constraint WHERE contypid <> 0
 UNION ALL SELECT 'c' || oid || ':' || relname FROM pg_class WHERE relkind IN ('v', 'S') AND relnamespace NOT IN ` + builtin + `) AS s`

// functionsSQL gives each function's name, and whether a call reaches a
// user-defined volatile function: itself, or what an aggregate is made of.
const functionsSQL = `WITH v AS (SELECT oid FROM pg_proc WHERE provolatile = 'v' AND pronamespace NOT IN ` + builtin + `)
 SELECT DISTINCT p.proname, p.oid IN (SELECT oid FROM v) OR a.aggtransfn::oid IN (SELECT oid FROM v) OR a.aggfinalfn::oid IN (SELECT oid FROM v)
 FROM pg_proc AS p LEFT JOIN pg_aggregate AS a ON a.aggfnoid::oid = p.oid`

// namesSQL gives names that reach a volatile function, or state of their own,
// with the reason.
const namesSQL = `WITH v AS (SELECT oid FROM pg_proc WHERE provolatile = 'v' AND pronamespace NOT IN ` + builtin + `)
 SELECT oprname, 'an operator whose function is volatile' FROM pg_operator WHERE oprcode::oid IN (SELECT oid FROM v)
 UNION ALL SELECT t.typname, 'a type with a volatile cast' FROM pg_cast AS k JOIN pg_type AS t ON t.oid IN (k.casttarget, k.castsource) WHERE k.castfunc IN (SELECT oid FROM v) AND t.oid >= 16384
 UNION ALL SELECT relname, 'a sequence''s state belongs to the primary' FROM pg_class WHERE relkind = 'S' AND relnamespace NOT IN ` + builtin

// bodiesSQL gives the code of functions that may leave something in a session.
const bodiesSQL = `SELECT p.proname, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
 WHERE p.pronamespace NOT IN ` + builtin + ` AND l.lanname NOT IN ('c', 'internal')`

// definitionsSQL gives names with the texts that stand behind them.
const definitionsSQL = `SELECT relname, pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v' AND relnamespace NOT IN ` + builtin + `
 UNION ALL SELECT c.relname, 'select ' || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE p.polqual IS NOT NULL AND p.polcmd IN ('*', 'r')
 UNION ALL SELECT t.typname, 'select ' || pg_get_expr(k.conbin, 0) FROM pg_constraint AS k JOIN pg_type AS t ON t.oid = k.contypid WHERE k.conbin IS NOT NULL AND t.oid >= 16384`

// readNames reads what decides where a text may run.
func readNames(conn *pool.Backend, local []string) (*classify.Names, error) {
	n := &classify.Names{Known: map[string]bool{}, Reaches: map[string]string{}, Leaves: map[string]bool{}}
	functions, err := conn.Run(functionsSQL)
	if err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	for _, name := range local {
		allowed[name] = true
	}
	for _, r := range functions {
		n.Known[r[0]] = true
		if r[1] == "t" && !allowed[r[0]] {
			n.Reaches[r[0]] = "a user-defined volatile function"
		}
	}
	bodies, err := conn.Run(bodiesSQL)
	if err != nil {
		return nil, err
	}
	closeOverBodies(n, bodies, allowed)
	names, err := conn.Run(namesSQL)
	if err != nil {
		return nil, err
	}
	for _, r := range names {
		n.Reaches[r[0]] = r[1]
	}
	definitions, err := conn.Run(definitionsSQL)
	if err != nil {
		return nil, err
	}
	closeOver(n, definitions)
	return n, nil
}

// closeOver adds the names whose definitions reach what belongs on the
// primary, until no more are found.
func closeOver(n *classify.Names, definitions [][]string) {
	for found := true; found; {
		found = false
		for _, d := range definitions {
			if n.Reaches[d[0]] != "" {
				continue
			}
			if v := classify.Classify([]byte(d[1]), n); v.Where == classify.Primary {
				n.Reaches[d[0]], found = "it reaches "+v.Why, true
				if slices.ContainsFunc(v.Effects, func(e classify.Effect) bool { return e.Act == classify.Pin }) {
					n.Leaves[d[0]] = true
				}
			}
		}
	}
}

// closeOverBodies adds the functions that may leave something in a session, by
// themselves or by others that they name.
func closeOverBodies(n *classify.Names, bodies [][]string, allowed map[string]bool) {
	for found := true; found; {
		found = false
		for _, b := range bodies {
			name, body := b[0], b[1]
			if n.Leaves[name] || allowed[name] || !classify.Leaves(body) && !names(body, n.Leaves) {
				continue
			}
			n.Leaves[name], found = true, true
			n.Reaches[name] = "a function that changes its session"
		}
	}
}

// names reports whether a text has one of the words in it.
func names(text string, words map[string]bool) bool {
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if words[strings.ToLower(w)] {
			return true
		}
	}
	return false
}
