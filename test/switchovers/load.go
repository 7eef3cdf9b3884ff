package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/client"
	"meridian/test/operator"
)

const schema = `create table if not exists switchover_ledger (id bigint primary key, region text not null)`

// A load is clients of all regions that write into one ledger.
type load struct {
	begin  time.Time
	urls   map[string]string
	order  []string
	set    settings
	ids    atomic.Int64
	ended  atomic.Int64 // sessions that could not move, and got 57P01
	resume sync.Cond    // on mu

	mu      sync.Mutex // guards what follows
	acked   map[int64]time.Duration
	last    time.Duration
	failed  []error
	held    map[string]bool
	writing map[string]int // writes under way, by region
}

func newLoad(ctx context.Context, s client.Status, set settings) (*load, error) {
	l := &load{begin: time.Now(), urls: map[string]string{}, set: set, acked: map[int64]time.Duration{}, held: map[string]bool{}, writing: map[string]int{}}
	l.resume.L = &l.mu
	for _, r := range s.Regions {
		l.urls[r.Name] = r.Postgres + "?sslmode=disable"
		l.order = append(l.order, r.Name)
	}
	c, err := pgx.Connect(ctx, l.urls[l.order[0]])
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, schema)
	return l, err
}

func (l *load) now() time.Duration { return time.Since(l.begin) }

// work writes until ctx is over. What is under way then is finished.
func (l *load) work(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { // who is held must see the end
		l.mu.Lock()
		defer l.mu.Unlock()
		clear(l.held)
		l.resume.Broadcast()
	})()
	var all sync.WaitGroup
	defer all.Wait()
	for _, region := range l.order {
		for i := range l.set.clients {
			all.Go(func() { l.write(ctx, region, i%2 == 1) })
		}
		all.Go(func() { l.cling(ctx, region) })
	}
}

// write inserts ids over one connection, which must last: as prepared
// statements, or simple ones.
func (l *load) write(ctx context.Context, region string, simple bool) {
	cfg, err := pgx.ParseConfig(l.urls[region])
	if err != nil {
		l.fail(region, err)
		return
	}
	if simple {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		l.fail(region, err)
		return
	}
	defer c.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(l.set.pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		l.enter(region)
		id := l.ids.Add(1)
		_, err := c.Exec(context.WithoutCancel(ctx), "insert into switchover_ledger values ($1, $2)", id, region)
		l.leave(region, id, err)
		if err != nil {
			l.fail(region, fmt.Errorf("write %d: %w", id, err))
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// cling holds a temporary table, and comes back when it is ended for that.
func (l *load) cling(ctx context.Context, region string) {
	for ctx.Err() == nil {
		l.enter(region)
		err := l.clingOnce(ctx, region)
		l.leave(region, 0, err)
		var e *pgconn.PgError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &e) && e.Code == "57P01":
			l.ended.Add(1)
		case errors.As(err, &e):
			l.fail(region, fmt.Errorf("a session that cannot move: %w", err))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.set.pace):
		}
	}
}

func (l *load) clingOnce(ctx context.Context, region string) error {
	c, err := pgx.Connect(ctx, l.urls[region])
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, "create temp table mine (v int)"); err != nil {
		return err
	}
	for !l.isHeld(region) {
		if _, err := c.Exec(ctx, "insert into mine values (1)"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(4 * l.set.pace):
		}
	}
	return nil
}

// enter waits while a region's clients are held, and counts one who goes on.
func (l *load) enter(region string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held[region] {
		l.resume.Wait()
	}
	l.writing[region]++
}

func (l *load) leave(region string, id int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing[region]--
	l.resume.Broadcast()
	if err == nil && id != 0 {
		l.last = l.now()
		l.acked[id] = l.last
	}
}

func (l *load) isHeld(region string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[region]
}

// hold lets a region's clients rest, and returns once none is at work; or lets
// them go on.
func (l *load) hold(region string, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[region] = on
	l.resume.Broadcast()
	for on && l.writing[region] > 0 {
		l.resume.Wait()
	}
}

func (l *load) fail(region string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, fmt.Errorf("a client in %s: %w", region, err))
}

// gap returns the longest time since begin without an acknowledgement, once
// there was one after now.
func (l *load) gap(ctx context.Context, begin time.Duration) (longest time.Duration, err error) {
	now := l.now()
	err = operator.Until(ctx, patience, func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.last <= now {
			return errors.New("no client's write is acknowledged any more")
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	times := []time.Duration{begin}
	for _, at := range l.acked {
		if at > begin {
			times = append(times, at)
		}
	}
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i]-times[i-1])
	}
	return longest, err
}

// settle waits until all regions follow the primary again, and a while.
func (l *load) settle(ctx context.Context, w operator.World, rest time.Duration) error {
	err := operator.Until(ctx, patience, func(ctx context.Context) error {
		s, err := w.Status(ctx)
		if err != nil {
			return err
		}
		for _, r := range s.Regions {
			if !r.Primary && (r.ReplayLag < 0 || r.ReplayLag > 1000) {
				return fmt.Errorf("%s does not follow: %d ms behind", r.Name, r.ReplayLag)
			}
		}
		return operator.Whole(s)
	})
	select {
	case <-ctx.Done():
	case <-time.After(rest):
	}
	return errors.Join(err, ctx.Err())
}

// there reads the ledger, through each region, and returns the shortest.
func (l *load) there(ctx context.Context) (shortest []int64, err error) {
	for _, region := range l.order {
		c, err := pgx.Connect(ctx, l.urls[region])
		if err != nil {
			return nil, err
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, "set meridian.consistency = 'global'"); err != nil {
			return nil, err
		}
		rows, err := c.Query(ctx, "select id from switchover_ledger order by id")
		if err != nil {
			return nil, err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, err
		}
		if shortest == nil || len(ids) < len(shortest) {
			shortest = ids
		}
	}
	return shortest, nil
}

// judge says which clients saw an error, and what was lost.
func (l *load) judge(there []int64) (wrong []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong = append(wrong, l.failed...)
	lost := 0
	for id := range l.acked {
		if _, found := slices.BinarySearch(there, id); !found {
			lost++
		}
	}
	if lost > 0 {
		wrong = append(wrong, fmt.Errorf("%d acknowledged writes are not there", lost))
	}
	if len(l.acked) == 0 {
		wrong = append(wrong, errors.New("no write was acknowledged at all"))
	}
	return wrong
}
