package edge

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/droplift/droplift/models/offer"
)

// append writes the answer as JSON, by hand: reflection would take longer than the decision. Every member is always
// there, null where there is nothing to say.
func (d *Decider) append(b []byte, k *work) []byte {
	q, a := &k.q, &k.answer
	b = append(b, `{"player":`...)
	b = orNull(b, q.player)
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, a.at, 10)
	b = append(b, `,"score":`...)
	if a.withheld {
		b = append(b, "null"...)
	} else {
		b = number64(b, a.score)
	}
	b = append(b, `,"model":`...)
	b = quoted(b, d.cfg.Model)
	b = append(b, `,"version":`...)
	if a.answered {
		b = quoted(b, a.serving.Champion.Version)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"features":`...)
	b = a.appendFeatures(b, q)
	b = append(b, `,"band":`...)
	if a.answered {
		from, to := d.cfg.Offers.Bands.Range(a.band)
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(a.band), 10)
		b = append(b, `,"from":`...)
		b = number64(b, from)
		b = append(b, `,"to":`...)
		b = append(number64(b, to), '}')
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"reasons":[`...)
	for i, r := range a.reasons {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"feature":`...)
		b = quoted(b, r.name)
		b = append(b, `,"contribution":`...)
		b = append(number64(b, r.value), '}')
	}
	b = append(b, `],"offer":`...)
	if a.choice.reason == offer.Allowed {
		b = a.choice.append(b)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"no_offer":`...)
	b = orNull(b, a.noOffer)
	b = append(b, `,"holdout":`...)
	b = strconv.AppendBool(b, a.holdout)
	b = append(b, `,"prefetch":[`...)
	for i, r := range a.prefetch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = quoted(b, r.ID)
		b = append(b, `,"bytes":`...)
		b = strconv.AppendInt(b, r.Bytes, 10)
		b = append(b, `,"p":`...)
		b = number64(b, r.P)
		b = append(b, `,"saving_nano":`...)
		b = append(strconv.AppendInt(b, r.Saving, 10), '}')
	}
	b = append(b, `],"degraded":`...)
	b = orNull(b, a.degraded.String())
	return append(b, '}', '\n')
}

func (a *answer) appendFeatures(b []byte, q *request) []byte {
	if !a.found {
		return append(b, "null"...)
	}
	b = append(b, `{"source":`...)
	if q.inline {
		return append(b, `"request"}`...)
	}
	b = append(b, `"store","as_of":`...)
	b = strconv.AppendInt(b, a.fresh.AsOf, 10)
	b = append(b, `,"age_ms":`...)
	b = strconv.AppendInt(b, max(0, a.fresh.Age(a.at)), 10)
	b = append(b, `,"watermark":`...)
	b = strconv.AppendInt(b, a.fresh.Watermark, 10)
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, a.fresh.Complete())
	b = append(b, `,"stale":`...)
	b = strconv.AppendBool(b, a.stale)
	b = append(b, `,"revision":`...)
	b = strconv.AppendUint(b, a.fresh.Revision, 10)
	return append(b, '}')
}

func (c *choice) append(b []byte) []byte {
	b = append(b, `{"name":`...)
	b = quoted(b, c.made.Name)
	b = append(b, `,"sku":`...)
	b = quoted(b, c.made.SKU)
	b = append(b, `,"discount_bps":`...)
	b = strconv.AppendInt(b, c.made.DiscountBPS, 10)
	b = append(b, `,"price_minor":`...)
	b = strconv.AppendInt(b, c.made.Price-c.made.Discount(), 10)
	b = append(b, `,"expected_margin_minor":`...)
	b = strconv.AppendInt(b, c.expected, 10)
	b = append(b, `,"currency":`...)
	b = quoted(b, c.made.Currency)
	b = append(b, `,"propensity":`...)
	return append(number64(b, c.propensity), '}')
}

func orNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return quoted(b, s)
}

// number64 appends the shortest decimal that reads back as f, which is finite.
func number64(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// quoted appends s as a JSON string.
func quoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s) // a string always can be
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
