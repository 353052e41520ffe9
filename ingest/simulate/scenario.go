// Package simulate generates the traffic of creators' drops from a seed: players,
// sessions, edge requests, checkouts, subtitle cues and the catalogue, with the
// faults that real clients send. It owns the true effects behind that traffic and
// keeps exact books of it, so that a pipeline can be judged against both.
//
// The same Scenario gives the same bytes in the same order, whatever the number of
// processors (on one architecture: math functions may differ in the last bit between
// architectures).
package simulate

import (
	"errors"
	"fmt"
	"math"
)

// Durations in milliseconds.
const (
	second int64 = 1000
	minute       = 60 * second
	hour         = 60 * minute
	day          = 24 * hour
)

// Scenario says what to generate. Zero sizes, times and lists mean the documented
// default; Effects and Faults are taken as written, so their zero values mean no
// effect and no fault.
type Scenario struct {
	Seed uint64 `json:"seed" yaml:"seed"`
	// StartMS is when the main drop opens (Unix ms); default 2025-10-03T18:00:00Z.
	StartMS int64 `json:"start_ms" yaml:"start_ms"`
	// HistoryMS of background traffic comes before StartMS; default 28 d.
	HistoryMS int64 `json:"history_ms" yaml:"history_ms"`
	// DropMS is how long the main drop lasts; default 48 h.
	DropMS int64 `json:"drop_ms" yaml:"drop_ms"`
	// AfterMS of background traffic follows the main drop; default none.
	AfterMS int64 `json:"after_ms" yaml:"after_ms"`
	// Players in all, newcomers of the drop included; default 10,000.
	Players int `json:"players" yaml:"players"`
	// Creators that players follow; creator 1 owns the main drop. Default 12.
	Creators int `json:"creators" yaml:"creators"`
	// Languages of players and subtitles, BCP 47; default en, fr, de, ja.
	Languages []string `json:"languages" yaml:"languages"`
	// SourceLanguage is spoken in the streams; default the first of Languages.
	SourceLanguage string `json:"source_language" yaml:"source_language"`
	// Regions default to US, GB, FR, DE, JP and KW.
	Regions []Region `json:"regions" yaml:"regions"`
	// POPs default to two in the US and one in each other default region.
	POPs []POP `json:"pops" yaml:"pops"`
	// Earlier drops lie in the history; nil means one every eight days, none opening in the history's first day.
	Earlier []EarlierDrop `json:"earlier" yaml:"earlier"`
	// Partners fulfil physical items; default a warehouse and a shop.
	Partners []Partner `json:"partners" yaml:"partners"`
	// AnnounceMS is how long before its start a drop becomes public; default 3 d.
	AnnounceMS int64 `json:"announce_ms" yaml:"announce_ms"`
	// Budget of each drop at the edge, in nano-units of USD; the main drop's is raised by half at half-time. Default 500 USD.
	Budget int64 `json:"budget" yaml:"budget"`
	// Degradations default to none.
	Degradations []Degradation `json:"degradations" yaml:"degradations"`
	// Outages and SubtitleOutages default to none.
	Outages         []Outage         `json:"outages,omitempty" yaml:"outages,omitempty"`
	SubtitleOutages []SubtitleOutage `json:"subtitle_outages,omitempty" yaml:"subtitle_outages,omitempty"`
	// HoldoutBPS of the main drop's visitors are not offered its goods, in basis points: experiment
	// offer-holdout of its catalogue entry. Default none.
	HoldoutBPS uint32 `json:"holdout_bps" yaml:"holdout_bps"`
	// Behaviour is taken as written unless it is wholly zero, which means DefaultBehaviour.
	Behaviour Behaviour `json:"behaviour" yaml:"behaviour"`
	// Subtitles are taken as written unless wholly zero, which means DefaultSubtitles.
	Subtitles Subtitles `json:"subtitles" yaml:"subtitles"`
	Effects   Effects   `json:"effects" yaml:"effects"`
	Faults    Faults    `json:"faults" yaml:"faults"`
}

// Region is where players live.
type Region struct {
	// Code is ISO 3166-1 alpha-2.
	Code string `json:"code" yaml:"code"`
	// Weight is the region's share of players, relative to the other weights.
	Weight float64 `json:"weight" yaml:"weight"`
	// Currency is ISO 4217; MinorPerCent turns one US cent into its minor units.
	Currency     string  `json:"currency" yaml:"currency"`
	MinorPerCent float64 `json:"minor_per_cent" yaml:"minor_per_cent"`
	// Language most players of the region use; a tenth use another one.
	Language string `json:"language" yaml:"language"`
	// UTCOffsetMS shifts the daily cycle, which peaks at 20:00 local time.
	UTCOffsetMS int64 `json:"utc_offset_ms" yaml:"utc_offset_ms"`
	// TaxBPS is the tax in basis points of the net price; prices include it.
	TaxBPS int64 `json:"tax_bps" yaml:"tax_bps"`
}

// Partner is a shop or a warehouse that fulfils physical items.
type Partner struct {
	Name string `json:"name" yaml:"name"`
	// Weight is its share of the orders, relative to the other weights.
	Weight float64 `json:"weight" yaml:"weight"`
	// Late multiplies Behaviour.LateFulfilment.
	Late float64 `json:"late" yaml:"late"`
}

// POP is an edge location. Its latency is lognormal.
type POP struct {
	Name   string `json:"name" yaml:"name"`
	Region string `json:"region" yaml:"region"`
	// MedianMS of a cache hit without load; Sigma of its logarithm.
	MedianMS float64 `json:"median_ms" yaml:"median_ms"`
	Sigma    float64 `json:"sigma" yaml:"sigma"`
}

// EarlierDrop is a small drop in the history.
type EarlierDrop struct {
	// Creator is the number of the creator, from 1.
	Creator int `json:"creator" yaml:"creator"`
	// BeforeMS is how long before the main drop it opens.
	BeforeMS int64 `json:"before_ms" yaml:"before_ms"`
	DropMS   int64 `json:"drop_ms" yaml:"drop_ms"`
	// Reach is the probability that a player comes; followers come 1.5 times as often.
	Reach float64 `json:"reach" yaml:"reach"`
}

// Degradation multiplies the latency of a POP during [FromMS, ToMS) of the main drop's age.
type Degradation struct {
	POP    string  `json:"pop" yaml:"pop"`
	FromMS int64   `json:"from_ms" yaml:"from_ms"`
	ToMS   int64   `json:"to_ms" yaml:"to_ms"`
	Factor float64 `json:"factor" yaml:"factor"`
}

// Outage lets a share of the main drop's checkouts fail that start during [FromMS, ToMS) of its age; their buyers do not try again.
type Outage struct {
	FromMS int64   `json:"from_ms" yaml:"from_ms"`
	ToMS   int64   `json:"to_ms" yaml:"to_ms"`
	Share  float64 `json:"share" yaml:"share"`
}

// SubtitleOutage lets every cue of the main drop's stream in a language be missing during [FromMS, ToMS) of the stream.
type SubtitleOutage struct {
	Language string `json:"language" yaml:"language"`
	FromMS   int64  `json:"from_ms" yaml:"from_ms"`
	ToMS     int64  `json:"to_ms" yaml:"to_ms"`
}

// Behaviour is what players do when no effect is at work. Rates are probabilities
// unless said otherwise.
type Behaviour struct {
	// SessionsPerDay is the median player's rate of background sessions.
	SessionsPerDay float64 `json:"sessions_per_day" yaml:"sessions_per_day"`
	// Diurnal is the amplitude of the daily cycle, in [0, 1).
	Diurnal float64 `json:"diurnal" yaml:"diurnal"`
	// SessionMS and VisitMS are median lengths outside and inside a drop; SessionSigma is of their logarithm.
	SessionMS    int64   `json:"session_ms" yaml:"session_ms"`
	VisitMS      int64   `json:"visit_ms" yaml:"visit_ms"`
	SessionSigma float64 `json:"session_sigma" yaml:"session_sigma"`
	// HeartbeatMS and SampleMS are the intervals of heartbeats and of segment requests, of which SampleRate are sent.
	HeartbeatMS int64   `json:"heartbeat_ms" yaml:"heartbeat_ms"`
	SampleMS    int64   `json:"sample_ms" yaml:"sample_ms"`
	SampleRate  float64 `json:"sample_rate" yaml:"sample_rate"`
	// ProbeMS is the interval of synthetic probes at every POP; 0 for none.
	ProbeMS int64 `json:"probe_ms" yaml:"probe_ms"`
	// Crash is how often a session ends without session_end.
	Crash float64 `json:"crash" yaml:"crash"`

	// Joining players appear at a uniform time of the history, Newcomers with their first visit to the main drop.
	Joining   float64 `json:"joining" yaml:"joining"`
	Newcomers float64 `json:"newcomers" yaml:"newcomers"`

	// Reach is the probability that a player comes to the main drop; followers come 1.5 times as often.
	Reach float64 `json:"reach" yaml:"reach"`
	// Premiere is the share of first visits that follow the opening with PeakHalfLifeMS; the others follow with TailHalfLifeMS.
	Premiere       float64 `json:"premiere" yaml:"premiere"`
	PeakHalfLifeMS int64   `json:"peak_half_life_ms" yaml:"peak_half_life_ms"`
	TailHalfLifeMS int64   `json:"tail_half_life_ms" yaml:"tail_half_life_ms"`
	// Revisit is how often a visitor comes back for another look.
	Revisit float64 `json:"revisit" yaml:"revisit"`
	// Load is by how much latency rises at the opening, relative; it decays with PeakHalfLifeMS.
	Load float64 `json:"load" yaml:"load"`

	// Rush is added to the logit of conversion at the opening and decays with PeakHalfLifeMS: those who come first want it most, and Load
	// makes them wait longest.
	Rush float64 `json:"rush" yaml:"rush"`

	// ConversionLogit is the logit of converting at 0 ms, mean engagement and no variant effect.
	ConversionLogit float64 `json:"conversion_logit" yaml:"conversion_logit"`
	// ConvertMS is the median time from landing to conversion.
	ConvertMS int64 `json:"convert_ms" yaml:"convert_ms"`
	// Impression, Click and Start are the steps of visitors who will not convert, each given the one before.
	Impression float64 `json:"impression" yaml:"impression"`
	Click      float64 `json:"click" yaml:"click"`
	Start      float64 `json:"start" yaml:"start"`
	// Failure is how often a buyer's first attempt fails.
	Failure float64 `json:"failure" yaml:"failure"`
	// SecondPurchase is how often a converter buys again in the same session.
	SecondPurchase float64 `json:"second_purchase" yaml:"second_purchase"`
	// BackgroundPurchase is how often a background session holds a purchase.
	BackgroundPurchase float64 `json:"background_purchase" yaml:"background_purchase"`
	// Refund and Chargeback are shares of completed checkouts; RefundMS is the median delay of refunds.
	Refund        float64 `json:"refund" yaml:"refund"`
	PartialRefund float64 `json:"partial_refund" yaml:"partial_refund"`
	Chargeback    float64 `json:"chargeback" yaml:"chargeback"`
	RefundMS      int64   `json:"refund_ms" yaml:"refund_ms"`

	// PointOfSale is the share of players who buy a drop's goods at a till.
	PointOfSale float64 `json:"point_of_sale" yaml:"point_of_sale"`
	// PromiseMS is how long after the purchase a physical item is promised at the latest; 0 for no physical items.
	PromiseMS int64 `json:"promise_ms" yaml:"promise_ms"`
	// LateFulfilment is how often it is handed over later than that, where Partner.Late is 1.
	LateFulfilment float64 `json:"late_fulfilment" yaml:"late_fulfilment"`
	// FeeBPS is the payment provider's part of every sale, in basis points.
	FeeBPS int64 `json:"fee_bps" yaml:"fee_bps"`
}

// Subtitles describes the live streams that open each drop.
type Subtitles struct {
	// StreamMS is the main drop's stream; earlier ones are a third as long.
	StreamMS int64 `json:"stream_ms" yaml:"stream_ms"`
	// CueMS is the distance between cues.
	CueMS int64 `json:"cue_ms" yaml:"cue_ms"`
	// LagMS is the median cue latency of the source language; every other language adds TranslationMS.
	LagMS         int64 `json:"lag_ms" yaml:"lag_ms"`
	TranslationMS int64 `json:"translation_ms" yaml:"translation_ms"`
	// Missing is the share of translated cues that are never shown.
	Missing float64 `json:"missing" yaml:"missing"`
	// The last language of Scenario.Languages lags SurgeMS more in the middle third of the stream.
	SurgeMS int64 `json:"surge_ms" yaml:"surge_ms"`
}

// Effects are the true effects that an analysis should recover.
type Effects struct {
	// LatencyLogit is added to the logit of conversion per 100 ms of the first landing request.
	LatencyLogit float64 `json:"latency_logit_per_100ms" yaml:"latency_logit_per_100ms"`
	// CreatorUplift raises the session rate of a creator's followers, relative, over [drop start, +7 d).
	CreatorUplift float64 `json:"creator_uplift_rel" yaml:"creator_uplift_rel"`
	// Retention is added to the probability of a session in [purchase +1 d, +7 d) by a player's
	// conversion in a drop. It is capped where a player returns almost surely anyway; Truth tells the
	// mean that was really added.
	Retention float64 `json:"retention_d7_pp" yaml:"retention_d7_pp"`
	// Selection by engagement, a standard normal trait of each player: BuyLogit is added to the
	// logit of conversion and RateLog to the log of the session rate, per standard deviation.
	BuyLogit float64 `json:"selection_buy_logit" yaml:"selection_buy_logit"`
	RateLog  float64 `json:"selection_rate_log" yaml:"selection_rate_log"`
	// CTA is added to the logit of conversion by variant "treatment" against "control", per language.
	CTA map[string]float64 `json:"cta_logit" yaml:"cta_logit"`
}

// Faults are shares of events unless said otherwise.
type Faults struct {
	// Duplicate events are sent again, the same bytes, within 4 minutes.
	Duplicate float64 `json:"duplicate" yaml:"duplicate"`
	// OutOfOrder events arrive 2 to 60 s after they happened.
	OutOfOrder float64 `json:"out_of_order" yaml:"out_of_order"`
	// LateWithin events arrive 1 to 8.5 min after they happened: within the allowed lateness.
	LateWithin float64 `json:"late_within" yaml:"late_within"`
	// LateBeyond events arrive when their sender's own newer events, 25 min newer or more, are in the
	// same topic already: beyond the allowed lateness under every partitioning by key.
	LateBeyond float64 `json:"late_beyond" yaml:"late_beyond"`
	// WrongClock is the share of players whose clock is 1 to 12 h ahead.
	WrongClock float64 `json:"wrong_clock" yaml:"wrong_clock"`
	// NoIngestTime is the share of events without ingest_time: the log's timestamp, Record.At, stands in.
	NoIngestTime float64 `json:"no_ingest_time" yaml:"no_ingest_time"`
	// Malformed is the number of records that no processor may count, per event; they come on top of the events.
	Malformed float64 `json:"malformed" yaml:"malformed"`
	// AdBlocked is the share of players whose impressions and clicks are never sent.
	AdBlocked float64 `json:"ad_blocked" yaml:"ad_blocked"`
	// BlindTill is how often a till sells an item without asking whether one is left: it may oversell.
	BlindTill float64 `json:"blind_till" yaml:"blind_till"`
}

// maxEarlier bounds the drops: a timer holds a drop's number in one byte.
const maxEarlier = 200

// Validate reports every problem of s, defaults applied.
func (s Scenario) Validate() error {
	s = s.withDefaults()
	var v problems
	v.check(s.StartMS > s.HistoryMS, "start_ms", "the history would begin before 1970")
	v.check(s.HistoryMS > 0, "history_ms", "is negative")
	v.check(s.DropMS >= minute, "drop_ms", "is under a minute")
	v.check(s.AfterMS >= 0, "after_ms", "is negative")
	v.check(s.Players > 0 && s.Players <= 1<<28, "players", "is outside 1 to 268,435,456")
	v.check(s.Creators > 0 && s.Creators <= math.MaxUint16, "creators", "is outside 1 to 65,535")
	s.validatePlaces(&v)
	v.check(len(s.Earlier) <= maxEarlier, "earlier", "holds more than %d drops", maxEarlier)
	for i, d := range s.Earlier {
		field := fmt.Sprintf("earlier[%d]", i)
		v.check(d.Creator >= 1 && d.Creator <= s.Creators, field+".creator", "%d is outside 1 to %d", d.Creator, s.Creators)
		v.check(d.BeforeMS > 0 && d.BeforeMS <= s.HistoryMS, field+".before_ms", "is outside the history")
		v.check(d.DropMS >= minute && d.DropMS <= d.BeforeMS, field+".drop_ms", "is under a minute or reaches into the main drop")
		v.share(field+".reach", d.Reach)
	}
	s.Behaviour.validate(&v)
	s.validatePartners(&v)
	v.check(s.Budget > 0 && s.Budget <= 1e18, "budget", "is outside 1 to 10^18 nano-units")
	v.check(s.AnnounceMS >= 0, "announce_ms", "is negative")
	sub := s.Subtitles
	v.check(sub.StreamMS >= 0 && sub.StreamMS <= s.DropMS, "subtitles.stream_ms", "is negative or longer than the drop")
	v.check(sub.CueMS >= 500, "subtitles.cue_ms", "is under 500")
	v.check(sub.LagMS > 0 && sub.TranslationMS > 0, "subtitles.lag_ms, translation_ms", "are not positive")
	v.check(sub.SurgeMS >= 0 && sub.SurgeMS <= minute, "subtitles.surge_ms", "is outside 0 to 60,000")
	v.share("subtitles.missing", sub.Missing)
	v.check(s.HoldoutBPS < 10_000, "holdout_bps", "is over 9,999: nobody would be offered anything")
	e := s.Effects
	v.check(e.CreatorUplift > -1 && e.CreatorUplift <= 10, "effects.creator_uplift_rel", "is outside (−1, 10]")
	v.check(e.Retention >= 0 && e.Retention <= 1, "effects.retention_d7_pp", "is outside 0 to 1")
	for language := range e.CTA {
		v.check(contains(s.Languages, language), "effects.cta_logit", "names %q, which is none of the languages", language)
	}
	s.Faults.validate(&v)
	return errors.Join(v...)
}

func (s Scenario) validatePlaces(v *problems) {
	v.check(contains(s.Languages, s.SourceLanguage), "source_language", "%q is none of the languages", s.SourceLanguage)
	v.check(len(s.Languages) <= 64, "languages", "are more than 64")
	v.check(len(s.Regions) <= 200, "regions", "are more than 200")
	v.check(len(s.POPs) <= 200, "pops", "are more than 200")
	codes, names := map[string]bool{}, map[string]bool{}
	for i, r := range s.Regions {
		field := fmt.Sprintf("regions[%d]", i)
		v.check(r.Code != "" && !codes[r.Code], field+".code", "%q is empty or doubled", r.Code)
		v.check(r.Weight > 0, field+".weight", "is not positive")
		v.check(len(r.Currency) == 3, field+".currency", "%q is not a currency code", r.Currency)
		v.check(r.MinorPerCent > 0, field+".minor_per_cent", "is not positive")
		v.check(r.TaxBPS >= 0 && r.TaxBPS <= 10_000, field+".tax_bps", "is outside 0 to 10,000")
		v.check(contains(s.Languages, r.Language), field+".language", "%q is none of the languages", r.Language)
		codes[r.Code] = true
	}
	served := map[string]bool{}
	for i, p := range s.POPs {
		field := fmt.Sprintf("pops[%d]", i)
		v.check(p.Name != "" && !names[p.Name], field+".name", "%q is empty or doubled", p.Name)
		v.check(codes[p.Region], field+".region", "%q is none of the regions", p.Region)
		v.check(p.MedianMS > 0 && p.MedianMS <= 10_000, field+".median_ms", "is outside (0, 10,000]")
		v.check(p.Sigma >= 0 && p.Sigma <= 2, field+".sigma", "is outside [0, 2]")
		names[p.Name], served[p.Region] = true, true
	}
	for _, r := range s.Regions {
		v.check(served[r.Code], "pops", "serve no region %s", r.Code)
	}
	for i, d := range s.Degradations {
		field := fmt.Sprintf("degradations[%d]", i)
		v.check(names[d.POP], field+".pop", "%q is none of the POPs", d.POP)
		v.check(d.FromMS >= 0 && d.ToMS > d.FromMS, field, "from_ms to to_ms is empty")
		v.check(d.Factor > 0 && d.Factor <= 20, field+".factor", "is outside (0, 20]")
	}
	for i, o := range s.Outages {
		field := fmt.Sprintf("outages[%d]", i)
		v.check(o.FromMS >= 0 && o.ToMS > o.FromMS, field, "from_ms to to_ms is empty")
		v.share(field+".share", o.Share)
	}
	for i, o := range s.SubtitleOutages {
		field := fmt.Sprintf("subtitle_outages[%d]", i)
		v.check(contains(s.Languages, o.Language), field+".language", "%q is none of the languages", o.Language)
		v.check(o.FromMS >= 0 && o.ToMS > o.FromMS, field, "from_ms to to_ms is empty")
	}
}

func (s Scenario) validatePartners(v *problems) {
	names := map[string]bool{}
	for i, p := range s.Partners {
		field := fmt.Sprintf("partners[%d]", i)
		v.check(p.Name != "" && !names[p.Name], field+".name", "%q is empty or doubled", p.Name)
		v.check(p.Weight > 0, field+".weight", "is not positive")
		v.check(p.Late >= 0 && p.Late*s.Behaviour.LateFulfilment <= 1, field+".late", "makes more than all orders late")
		names[p.Name] = true
	}
}

func (b Behaviour) validate(v *problems) {
	const in = "behaviour."
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"sample_rate", b.SampleRate}, {"crash", b.Crash}, {"joining", b.Joining}, {"newcomers", b.Newcomers},
		{"joining + newcomers", b.Joining + b.Newcomers}, {"reach", b.Reach}, {"premiere", b.Premiere},
		{"revisit", b.Revisit}, {"impression", b.Impression}, {"click", b.Click}, {"start", b.Start},
		{"failure", b.Failure}, {"second_purchase", b.SecondPurchase}, {"background_purchase", b.BackgroundPurchase},
		{"refund", b.Refund}, {"partial_refund", b.PartialRefund}, {"chargeback", b.Chargeback}, {"refund + chargeback", b.Refund + b.Chargeback},
		{"point_of_sale", b.PointOfSale}, {"late_fulfilment", b.LateFulfilment},
	} {
		v.share(in+f.name, f.value)
	}
	v.check(b.SampleRate > 0, in+"sample_rate", "is not positive")
	v.check(b.SessionsPerDay > 0 && b.SessionsPerDay <= 100, in+"sessions_per_day", "is outside (0, 100]")
	v.check(b.Diurnal >= 0 && b.Diurnal < 1, in+"diurnal", "is outside [0, 1)")
	v.check(b.SessionMS >= second && b.VisitMS >= second, in+"session_ms, visit_ms", "are under a second")
	v.check(b.SessionSigma >= 0 && b.SessionSigma <= 2, in+"session_sigma", "is outside [0, 2]")
	v.check(b.HeartbeatMS >= second && b.HeartbeatMS <= hour, in+"heartbeat_ms", "is outside 1 s to 1 h")
	v.check(b.SampleMS >= second, in+"sample_ms", "is under a second")
	v.check(b.ProbeMS == 0 || b.ProbeMS >= second, in+"probe_ms", "is under a second")
	v.check(b.PeakHalfLifeMS > 0 && b.TailHalfLifeMS > 0, in+"peak_half_life_ms, tail_half_life_ms", "are not positive")
	v.check(b.Load >= 0 && b.Load <= 20, in+"load", "is outside [0, 20]")
	v.check(b.PromiseMS == 0 || b.PromiseMS >= minute, in+"promise_ms", "is under a minute")
	v.check(b.FeeBPS >= 0 && b.FeeBPS <= 10_000, in+"fee_bps", "is outside 0 to 10,000")
	v.check(b.ConvertMS >= second && b.RefundMS >= second, in+"convert_ms, refund_ms", "are under a second")
}

func (f Faults) validate(v *problems) {
	const in = "faults."
	v.share(in+"duplicate", f.Duplicate)
	v.share(in+"out_of_order + late_within", f.OutOfOrder+f.LateWithin)
	v.share(in+"out_of_order", f.OutOfOrder)
	v.share(in+"late_within", f.LateWithin)
	v.share(in+"late_beyond", f.LateBeyond)
	v.share(in+"wrong_clock", f.WrongClock)
	v.share(in+"no_ingest_time", f.NoIngestTime)
	v.share(in+"malformed", f.Malformed)
	v.share(in+"ad_blocked", f.AdBlocked)
	v.share(in+"blind_till", f.BlindTill)
}

type problems []error

func (p *problems) check(ok bool, field, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf("scenario: %s %s", field, fmt.Sprintf(format, args...)))
	}
}

func (p *problems) share(field string, value float64) {
	p.check(value >= 0 && value <= 1, field, "is outside 0 to 1")
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
