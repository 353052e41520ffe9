package flight

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/droplift/droplift/sinks/features/offline"
)

// Names of the flights.
const (
	SnapshotFlight = "snapshot"
	HistoryFlight  = "history"
	TrainingFlight = "training-set"
)

// Flights are their names.
var Flights = []string{SnapshotFlight, HistoryFlight, TrainingFlight}

// Errors of requests, for errors.Is. Sources wrap them.
var (
	// ErrRequest: the parameters are wrong, whatever is stored.
	ErrRequest = errors.New("flight: bad request")
	// ErrUnknown: there is no such flight.
	ErrUnknown = errors.New("flight: unknown flight")
	// ErrAway: what the rows are read from does not answer now.
	ErrAway = errors.New("flight: the store does not answer")
)

// Time is a moment in a ticket: RFC 3339 text or Unix ms.
type Time int64

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	var ms int64
	if err := json.Unmarshal(b, &ms); err == nil {
		*t = Time(ms)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s is neither an RFC 3339 time nor Unix ms", b)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is not a time such as 2026-04-01T18:00:00Z", text)
	}
	*t = Time(at.UnixMilli())
	return nil
}

// Snapshot asks for the newest features of players, or of all.
type Snapshot struct {
	Players []string `json:"players"`
}

// History asks for every revision with an as_of in [From, To). Knowable says what created_timestamp is: delivered or event.
type History struct {
	From     Time   `json:"from"`
	To       Time   `json:"to"`
	Knowable string `json:"knowable"`
}

// TrainingSet asks for players at scoring times (DOMAIN 1.2); durations are ms, 0 is the default.
type TrainingSet struct {
	At           []Time `json:"at"`
	ActiveMS     int64  `json:"active_ms"`
	EmbargoMS    int64  `json:"embargo_ms"`
	HorizonMS    int64  `json:"horizon_ms"`
	LatenessMS   int64  `json:"lateness_ms"`
	OutOfOrderMS int64  `json:"out_of_order_ms"`
	TTLMS        int64  `json:"ttl_ms"`
	Creator      string `json:"creator"`
	Knowable     string `json:"knowable"`
}

// request is a decoded ticket: one of the pointers is set.
type request struct {
	name     string
	snapshot *Snapshot
	history  *History
	training *TrainingSet
}

// maxPlayers bounds the players that one ticket names.
const maxPlayers = 10_000

// decode reads a ticket and says everything that is wrong with its parameters. Unknown ones are wrong: a misspelt bound
// would otherwise send all there is.
func decode(ticket []byte) (request, error) {
	var head struct {
		Flight string `json:"flight"`
	}
	if err := json.Unmarshal(ticket, &head); err != nil {
		return request{}, fmt.Errorf("%w: a ticket is a JSON object such as {\"flight\":\"snapshot\"}: %v", ErrRequest, err)
	}
	r := request{name: head.Flight}
	var into any
	switch head.Flight {
	case SnapshotFlight:
		r.snapshot = &Snapshot{}
		into = &struct {
			Flight string `json:"flight"`
			*Snapshot
		}{Snapshot: r.snapshot}
	case HistoryFlight:
		r.history = &History{}
		into = &struct {
			Flight string `json:"flight"`
			*History
		}{History: r.history}
	case TrainingFlight:
		r.training = &TrainingSet{}
		into = &struct {
			Flight string `json:"flight"`
			*TrainingSet
		}{TrainingSet: r.training}
	default:
		return request{}, fmt.Errorf("%w %q: there are %q", ErrUnknown, head.Flight, Flights)
	}
	d := json.NewDecoder(bytes.NewReader(ticket))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return request{}, fmt.Errorf("%w: %s: %v", ErrRequest, r.name, err)
	}
	return r, r.validate()
}

func (r *request) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrRequest, r.name, fmt.Sprintf(format, args...))
	}
	knowable := func(of string) error {
		if of != "" && of != "delivered" && of != "event" {
			return bad("knowable by %q is neither delivered nor event", of)
		}
		return nil
	}
	switch {
	case r.snapshot != nil:
		if n := len(r.snapshot.Players); n > maxPlayers {
			return bad("%d players are more than %d: ask in parts, or for all", n, maxPlayers)
		}
	case r.history != nil:
		h := r.history
		if h.From <= 0 || h.To <= 0 {
			return bad("from and to are needed")
		}
		if h.From >= h.To {
			return bad("from (%d) is not before to (%d)", h.From, h.To)
		}
		return knowable(h.Knowable)
	default:
		t := r.training
		if len(t.At) == 0 {
			return bad("at names no scoring time")
		}
		return knowable(t.Knowable)
	}
	return nil
}

// kindOf says which schema a flight has.
func kindOf(name string) offline.Kind {
	if name == TrainingFlight {
		return offline.Training
	}
	return offline.History
}

// about is what a flight's schema says beside its set.
func (r *request) about() map[string]string {
	knowable := ""
	switch {
	case r.history != nil:
		knowable = r.history.Knowable
	case r.training != nil:
		knowable = r.training.Knowable
	}
	if knowable == "" {
		knowable = "delivered"
	}
	return map[string]string{offline.MetaKnowable: knowable}
}
