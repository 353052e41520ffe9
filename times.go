package main

import (
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

// parseTime reads a time of the command line; one without a zone is in UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil && at.UnixMilli() > 0 {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-04-01, 2026-04-01T18:00 or 2026-04-01T18:00:00Z", text)
}

// timeMapper lets flags be times as parseTime reads them.
var timeMapper = kong.TypeMapper(reflect.TypeFor[time.Time](), kong.MapperFunc(func(c *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := c.Scan.PopValueInto("time", &text); err != nil {
		return err
	}
	at, err := parseTime(text)
	target.Set(reflect.ValueOf(at))
	return err
}))

// instant is Unix ms that prints as RFC 3339; 0 is none.
type instant int64

// instantOf is the instant of at, and none of the zero time.
func instantOf(at time.Time) instant {
	if at.IsZero() {
		return 0
	}
	return instant(at.UnixMilli())
}

func (i instant) String() string               { return time.UnixMilli(int64(i)).UTC().Format(time.RFC3339) }
func (i instant) MarshalText() ([]byte, error) { return []byte(i.String()), nil }
