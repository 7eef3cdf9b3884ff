// Package wan knows where cloud regions are and how long a round trip between
// them takes. Its data files and their source are described in README.md.
package wan

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	//go:embed regions.csv
	regionsCSV string
	//go:embed rtt.csv
	rttCSV string

	// table is the two files, read once.
	table = sync.OnceValue(func() matrix {
		m, err := parse(regionsCSV, rttCSV)
		if err != nil {
			panic(err) // the files are part of the binary
		}
		return m
	})
)

// A Place is a point on the earth with a name.
type Place struct {
	Code     string // an AWS region code, or the name that a config gives
	City     string
	Country  string  // ISO 3166-1 alpha-2
	Lat, Lon float64 // degrees, north and east
}

type roundTrip struct{ p50, p90 time.Duration }

type matrix struct {
	places map[string]Place
	rtts   map[[2]string]roundTrip
}

// Lookup returns the place of an AWS region code.
func Lookup(code string) (Place, bool) {
	p, ok := table().places[code]
	return p, ok
}

// RTT returns the median and the 90th percentile of the round trip from a to
// b: 0 within a place, the matrix where it has both, and else an estimate from
// the distance. The matrix is directed; its two directions differ by 1 % in
// the median.
func RTT(a, b Place) (p50, p90 time.Duration) {
	if a.Code == b.Code {
		return 0, 0
	}
	if rt, ok := table().rtts[[2]string{a.Code, b.Code}]; ok {
		return rt.p50, rt.p90
	}
	return estimate(kilometres(a, b))
}

// estimate is the line fitted to the matrix: 25.9 ms and 15.5 ms more for each
// 1,000 km, with 4 ms of jitter.
func estimate(km float64) (p50, p90 time.Duration) {
	p50 = millis(25.9 + 15.5*km/1000)
	return p50, p50 + 4*time.Millisecond
}

// kilometres is the length of the great circle between a and b, by the
// haversine formula on a sphere.
func kilometres(a, b Place) float64 {
	const radius, rad = 6371, math.Pi / 180
	dLat, dLon := (b.Lat-a.Lat)*rad, (b.Lon-a.Lon)*rad
	h := square(math.Sin(dLat/2)) + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*square(math.Sin(dLon/2))
	return 2 * radius * math.Asin(math.Sqrt(min(1, h)))
}

func square(x float64) float64 { return x * x }

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func parse(regions, rtts string) (matrix, error) {
	m := matrix{places: map[string]Place{}, rtts: map[[2]string]roundTrip{}}
	rows, err := csv.NewReader(strings.NewReader(regions)).ReadAll()
	if err != nil {
		return m, fmt.Errorf("regions.csv: %w", err)
	}
	for _, r := range rows[1:] {
		lat, err1 := strconv.ParseFloat(r[3], 64)
		lon, err2 := strconv.ParseFloat(r[4], 64)
		if err1 != nil || err2 != nil {
			return m, fmt.Errorf("regions.csv: %s: position %q, %q", r[0], r[3], r[4])
		}
		m.places[r[0]] = Place{Code: r[0], City: r[1], Country: r[2], Lat: lat, Lon: lon}
	}
	rows, err = csv.NewReader(strings.NewReader(rtts)).ReadAll()
	if err != nil {
		return m, fmt.Errorf("rtt.csv: %w", err)
	}
	for _, r := range rows[1:] {
		p50, err1 := strconv.ParseFloat(r[2], 64)
		p90, err2 := strconv.ParseFloat(r[3], 64)
		if err1 != nil || err2 != nil {
			return m, fmt.Errorf("rtt.csv: %s to %s: round trip %q, %q", r[0], r[1], r[2], r[3])
		}
		m.rtts[[2]string{r[0], r[1]}] = roundTrip{millis(p50), millis(p90)}
	}
	return m, nil
}
