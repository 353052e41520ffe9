package features

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// answer is one request's scratch memory.
type answer struct {
	body    []byte // the request's
	parser  fastjson.Parser
	players []string
	out     []byte
	record  event.Features
	vector  []float64
	table   table
}

// parse reads {"players":[…],"at":…} from a.body into a.players and, when it is given, at.
func (a *answer) parse() (at int64, given bool, err error) {
	root, err := a.parser.ParseBytes(a.body)
	if err != nil {
		return 0, false, err
	}
	object, err := root.Object()
	if err != nil {
		return 0, false, err
	}
	a.players = a.players[:0]
	object.Visit(func(key []byte, v *fastjson.Value) {
		switch {
		case err != nil || v.Type() == fastjson.TypeNull:
		case string(key) == "players":
			var list []*fastjson.Value
			if list, err = v.Array(); err != nil {
				err = fmt.Errorf("players: %w", err)
			}
			for i, element := range list {
				name, wrong := element.StringBytes()
				if wrong != nil {
					err = fmt.Errorf("players: number %d: %w", i+1, wrong)
					return
				}
				a.players = append(a.players, string(name))
			}
		case string(key) == "at":
			if at, err = v.Int64(); err != nil {
				err = fmt.Errorf("at: %w", err)
			}
			given = true
		default:
			err = fmt.Errorf("%q means nothing here", key)
		}
	})
	return at, given, err
}

// contractJSON begins every answer: the version of the features in it.
var contractJSON = func() []byte {
	out := append([]byte(`{"feature_set":`), strconv.Quote(feature.Player.Name)...)
	out = strconv.AppendInt(append(out, `,"version":`...), int64(feature.Player.Version), 10)
	return append(strconv.AppendQuote(append(out, `,"hash":`...), feature.Player.Hash()), ',')
}()

// namesJSON is the array of the features' names, memberJSON what stands before each one's value in an object.
var namesJSON, memberJSON = func() (names []byte, members [][]byte) {
	for i, name := range feature.Player.Names() {
		separator := byte(',')
		if i == 0 {
			separator = '['
		}
		names = strconv.AppendQuote(append(names, separator), name)
		members = append(members, append(strconv.AppendQuote(append([]byte(nil), map[byte]byte{'[': '{', ',': ','}[separator]), name), ':'))
	}
	return append(names, ']'), members
}()

// lookup fills a.record and, when it is found, a.vector.
func (a *answer) lookup(s *Store, player string, at int64) (Freshness, Outcome) {
	fresh, found := s.Lookup(player, &a.record)
	if found {
		a.vector = a.record.Vector(max(at, fresh.AsOf), a.vector[:0])
	}
	return fresh, s.Judge(fresh, found, at)
}

// one is the answer for one player, with a member per feature.
func (a *answer) one(s *Store, player string, at int64) []byte {
	out := append(a.out[:0], contractJSON...)
	out = append(strconv.AppendInt(append(out, `"at":`...), at, 10), ',')
	fresh, outcome := a.lookup(s, player, at)
	out = a.status(out, player, at, fresh, outcome)
	if outcome == Found || outcome == Stale {
		out = append(out, `,"features":`...)
		for i, v := range a.vector {
			out = appendNumber(append(out, memberJSON[i]...), v)
		}
		out = append(out, '}')
	}
	a.out = append(out, '}', '\n')
	return a.out
}

// many is the answer for several players: the names of the features once, then the values of each player.
func (a *answer) many(s *Store, players []string, at int64) []byte {
	out := append(a.out[:0], contractJSON...)
	out = strconv.AppendInt(append(out, `"at":`...), at, 10)
	out = append(append(append(out, `,"names":`...), namesJSON...), `,"players":[`...)
	for i, player := range players {
		if i > 0 {
			out = append(out, ',')
		}
		fresh, outcome := a.lookup(s, player, at)
		out = a.status(append(out, '{'), player, at, fresh, outcome)
		if outcome == Found || outcome == Stale {
			out = append(out, `,"values":`...)
			separator := byte('[')
			for _, v := range a.vector {
				out = appendNumber(append(out, separator), v)
				separator = ','
			}
			out = append(out, ']')
		}
		out = append(out, '}')
	}
	a.out = append(out, ']', '}', '\n')
	return a.out
}

// status appends the members that say what was found and how far it may be trusted.
func (a *answer) status(out []byte, player string, at int64, fresh Freshness, outcome Outcome) []byte {
	found := outcome == Found || outcome == Stale
	out = appendText(append(out, `"player_id":`...), player)
	out = strconv.AppendBool(append(out, `,"found":`...), found)
	out = append(append(append(out, `,"outcome":"`...), outcome...), '"')
	out = strconv.AppendInt(append(out, `,"partition":`...), int64(fresh.Partition), 10)
	out = append(out, `,"watermark":`...)
	if fresh.Watermark < 0 {
		out = append(out, "null"...)
	} else {
		out = strconv.AppendInt(out, fresh.Watermark, 10)
	}
	out = strconv.AppendBool(append(out, `,"caught_up":`...), fresh.CaughtUp)
	if !found {
		return out
	}
	out = strconv.AppendInt(append(out, `,"as_of":`...), fresh.AsOf, 10)
	out = strconv.AppendInt(append(out, `,"age_ms":`...), fresh.Age(at), 10)
	out = strconv.AppendBool(append(out, `,"stale":`...), outcome == Stale)
	out = strconv.AppendBool(append(out, `,"complete":`...), fresh.Complete())
	out = strconv.AppendUint(append(out, `,"revision":`...), fresh.Revision, 10)
	out = append(append(append(out, `,"maturity":"`...), fresh.Maturity.String()...), `","spend_currency":`...)
	if a.record.SpendCurrency == "" {
		return append(out, "null"...)
	}
	return appendText(out, a.record.SpendCurrency)
}

// appendNumber appends a feature so that it reads back as the same float64, and null for a missing one. Whole numbers and
// thousandths, which are most of counts, seconds and mean milliseconds, take a fifth of the time of any other number.
func appendNumber(out []byte, v float64) []byte {
	const exact = 1e15 // decimals of up to 15 digits are told apart by a float64
	if v == 0 {
		return append(out, '0')
	}
	if whole := int64(v); float64(whole) == v && v < exact && v > -exact {
		return strconv.AppendInt(out, whole, 10)
	}
	if v-v != 0 {
		return append(out, "null"...)
	}
	if v > 0 && v < exact/1000 {
		if n := uint64(v*1000 + 0.5); float64(n)/1000 == v {
			out = strconv.AppendUint(out, n/1000, 10)
			n %= 1000
			out = append(out, '.', byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
			for out[len(out)-1] == '0' {
				out = out[:len(out)-1]
			}
			return out
		}
	}
	return strconv.AppendFloat(out, v, 'g', -1, 64)
}

// appendText appends a JSON string.
func appendText(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always can be
				return append(out, '"', '"')
			}
			return append(out, quoted...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}
