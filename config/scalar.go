package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"meridian"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	addrType     = reflect.TypeFor[netip.Addr]()
	addrPortType = reflect.TypeFor[netip.AddrPort]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	valueType    = reflect.TypeFor[Value]()
	durableType  = reflect.TypeFor[meridian.Durability]()
	posType      = reflect.TypeFor[position]()
)

func isScalar(t reflect.Type) bool {
	switch t {
	case addrType, addrPortType, prefixType, durableType, selectionType:
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint16, reflect.Float64:
		return true
	}
	return false
}

// setScalar reads s into v. It leaves v as it is when s cannot be read.
func setScalar(v reflect.Value, s string) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return set(p, s, parseDuration)
	case *Size:
		return set(p, s, ParseSize)
	case *netip.Addr:
		return set(p, s, netip.ParseAddr)
	case *netip.AddrPort:
		return set(p, s, netip.ParseAddrPort)
	case *netip.Prefix:
		return set(p, s, netip.ParsePrefix)
	case *Selection:
		return set(p, s, parseSelection)
	case *meridian.Durability:
		return set(p, s, meridian.ParseDurability)
	}
	return setBasic(v, s)
}

func set[T any](p *T, s string, parse func(string) (T, error)) error {
	t, err := parse(s)
	if err == nil {
		*p = t
	}
	return err
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", s)
	}
	return d, err
}

func setBasic(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		v.SetBool(s == "true")
	case reflect.Int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		v.SetInt(int64(n))
	case reflect.Uint16:
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port", s)
		}
		v.SetUint(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%q is no number", s)
		}
		v.SetFloat(f)
	}
	return nil
}

func wantOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 10s"
	case t == sizeType:
		return "a size such as 128MiB"
	case t == addrType:
		return "an IP address"
	case t == addrPortType:
		return "an IP address and a port"
	case t == prefixType:
		return "a network such as 198.18.1.0/24"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Uint16:
		return "a port from 1 to 65535"
	case t.Kind() == reflect.String:
		return "a text"
	}
	return "a number"
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
