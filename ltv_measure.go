package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/models/ltv"
	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// LTVOptions are the choices behind a fit.
type LTVOptions struct {
	Model          string    `help:"Model of purchases: bgbb takes eligible drops as opportunities, bgnbd takes purchases as possible at any time." enum:"bgbb,bgnbd" default:"bgbb"`
	AsOf           time.Time `help:"Up to when purchases are seen; the default is the watermark of the stored events." placeholder:"TIME"`
	Horizon        weeks     `help:"How far bgnbd predicts." default:"39w"`
	Drops          uint32    `help:"How many eligible drops bgbb predicts." default:"5"`
	Cut            time.Time `help:"The hold-out calibration fits on what came before this time, and compares with what came from it to --as-of; the default is the middle between the first purchase and --as-of." placeholder:"TIME"`
	Creator        string    `help:"Only purchases and drops of this creator." placeholder:"ID"`
	Currency       string    `help:"ISO 4217; each currency is fitted for itself. The default is the one with most purchases." placeholder:"CODE"`
	Margin         float64   `help:"Share of spend that counts as value." default:"1"`
	Discount       float64   `help:"Discount rate per week (bgnbd) or eligible drop (bgbb)." default:"0"`
	MaxCorrelation float64   `help:"Gamma-Gamma takes spend and frequency as independent: beyond this correlation, either way, everybody is taken to spend the mean of a repeat purchase." default:"0.2"`
	Shrink         float64   `help:"Precision of a normal prior on the logarithms of parameters, around ordinary ones: for data that alone leave them open, 0.1 to 1." default:"0"`
	LeastRepeaters int       `help:"With fewer buyers who bought again nothing is published: a fit on them says little." default:"50"`
	Most           int       `help:"Buyers with so many repeat purchases and more are one row of the calibration." default:"7"`
}

// Validate reports every problem at once.
func (o *LTVOptions) Validate() error {
	var problems []error
	check := func(ok bool, flag, what string) {
		if !ok {
			problems = append(problems, fmt.Errorf("--%s %s", flag, what))
		}
	}
	check(o.Horizon > 0 && o.Horizon <= 1040, "horizon", "is outside (0, 1040] weeks")
	check(o.Drops >= 1 && o.Drops <= 10_000, "drops", "is outside 1 to 10,000")
	check(o.Margin > 0 && o.Margin <= 1, "margin", "is outside (0, 1]")
	check(o.Discount >= 0 && o.Discount < 1, "discount", "is outside [0, 1)")
	check(o.MaxCorrelation >= 0 && o.MaxCorrelation <= 1, "max-correlation", "is outside [0, 1]")
	check(o.Shrink >= 0 && o.Shrink <= 1e6, "shrink", "is outside [0, 1,000,000]")
	check(o.LeastRepeaters >= 1, "least-repeaters", "is below 1")
	check(o.Most >= 1 && o.Most <= 1000, "most", "is outside 1 to 1,000")
	check(o.Cut.IsZero() || o.AsOf.IsZero() || o.Cut.Before(o.AsOf), "cut", "is not before --as-of")
	return errors.Join(problems...)
}

// weeks is a length of time, written as 39w or 90d.
type weeks float64

// UnmarshalText reads a number with its unit.
func (w *weeks) UnmarshalText(text []byte) error {
	s := string(text)
	for suffix, unit := range map[string]float64{"w": 1, "d": 1. / 7} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			if v, err := strconv.ParseFloat(number, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				*w = weeks(v * unit)
				return nil
			}
		}
	}
	return fmt.Errorf("%q is no length of time such as 39w or 90d", s)
}

// buyer is one player's history, and what a hold-out window brought.
type buyer struct {
	player string
	first  int64 // Unix ms
	x      int
	// last and age are t_x and T in weeks, or t_x and n in eligible drops.
	last, age float64
	mean      float64 // net spend per repeat purchase, minor units; NaN without one
	// laterDrops ended in the window; later is how many purchases it brought.
	laterDrops int
	later      float64
}

func (b *buyer) history() ltv.History {
	return ltv.History{X: b.x, Recency: b.last, Age: b.age}
}

func (b *buyer) chances() ltv.Chances {
	return ltv.Chances{X: b.x, Recency: int(b.last), N: int(b.age)}
}

func (b *buyer) spending() ltv.Spending {
	s := ltv.Spending{X: b.x}
	if b.x > 0 {
		s.Mean = b.mean
	}
	return s
}

// purchaseModel is a fitted model of purchases.
type purchaseModel interface {
	alive(b *buyer) float64
	// next is the expected purchases within a horizon in weeks or eligible drops, each at 1/(1+rate)^(when) of itself.
	next(b *buyer, horizon, rate float64) (float64, error)
	// held is next for the hold-out window of so many weeks.
	held(b *buyer, weeks float64) (float64, error)
}

type bgbbModel struct{ ltv.BGBB }

func (m bgbbModel) alive(b *buyer) float64 { return m.Alive(b.chances()) }
func (m bgbbModel) next(b *buyer, horizon, rate float64) (float64, error) {
	return finite(m.NextDiscounted(b.chances(), int(horizon), rate))
}
func (m bgbbModel) held(b *buyer, _ float64) (float64, error) {
	return m.next(b, float64(b.laterDrops), 0)
}

type bgnbdModel struct{ ltv.BGNBD }

func (m bgnbdModel) alive(b *buyer) float64 { return m.Alive(b.history()) }
func (m bgnbdModel) next(b *buyer, horizon, rate float64) (float64, error) {
	v, err := ltv.Value(func(t float64) float64 { return m.Next(b.history(), t) }, horizon, 1, 1, rate)
	if err != nil {
		return 0, err
	}
	return finite(v)
}
func (m bgnbdModel) held(b *buyer, weeks float64) (float64, error) { return m.next(b, weeks, 0) }

// finite refuses what is no number of purchases. Rounding may leave a hair below 0.
func finite(v float64) (float64, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%w: an expectation is no number", ltv.ErrNotConverged)
	}
	return max(0, v), nil
}

// LTVParameter is a fitted parameter with the 95 % interval that its logarithm's standard error gives.
type LTVParameter struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

func parametersOf(q ltv.Quality, names []string, values ...float64) []LTVParameter {
	out := make([]LTVParameter, len(values))
	for i, v := range values {
		reach := math.Exp(stats.Z95 * q.LogSE[i])
		out[i] = LTVParameter{Name: names[i], Value: v, Low: v / reach, High: v * reach}
	}
	return out
}

// fitPurchases fits the model that the options name.
func (o *LTVOptions) fitPurchases(buyers []buyer, step func(int, float64) error) (purchaseModel, []LTVParameter, ltv.Quality, error) {
	options := ltv.Options{Shrink: o.Shrink, Step: step}
	if o.Model == "bgnbd" {
		histories := make([]ltv.History, len(buyers))
		for i := range buyers {
			histories[i] = buyers[i].history()
		}
		m, q, err := ltv.FitBGNBD(histories, options)
		if err != nil {
			return nil, nil, q, err
		}
		return bgnbdModel{m}, parametersOf(q, []string{"r", "alpha", "a", "b"}, m.R, m.Alpha, m.A, m.B), q, nil
	}
	histories := make([]ltv.Chances, len(buyers))
	for i := range buyers {
		histories[i] = buyers[i].chances()
	}
	m, q, err := ltv.FitBGBB(histories, options)
	if err != nil {
		return nil, nil, q, err
	}
	return bgbbModel{m}, parametersOf(q, []string{"alpha", "beta", "gamma", "delta"}, m.Alpha, m.Beta, m.Gamma, m.Delta), q, nil
}

// LTVSpend is the model of spend per purchase.
type LTVSpend struct {
	// Model is gamma-gamma, or mean where that cannot or may not be used; Note says why.
	Model         string         `json:"model"`
	Parameters    []LTVParameter `json:"parameters,omitempty"`
	LogLikelihood *float64       `json:"log_likelihood"`
	// Repeaters are those with a repeat purchase that was not free.
	Repeaters int `json:"repeaters"`
	// Correlation of frequency and mean spend among them; nil without variation.
	Correlation *float64 `json:"correlation"`
	// Mean spend per repeat purchase, minor units.
	Mean float64 `json:"mean"`
	Note string  `json:"note,omitempty"`

	model ltv.GammaGamma
}

// of is what the buyer is expected to spend per purchase, in minor units.
func (s *LTVSpend) of(b *buyer) float64 {
	if s.Model == gammaGamma {
		if v := s.model.Expected(b.spending()); !math.IsNaN(v) {
			return v
		}
	}
	return s.Mean
}

const gammaGamma = "gamma-gamma"

// fitSpend fits Gamma-Gamma, unless spend and frequency go together or the data determine no parameters.
func (o *LTVOptions) fitSpend(buyers []buyer, step func(int, float64) error) (*LTVSpend, error) {
	s := &LTVSpend{Model: "mean"}
	spendings := make([]ltv.Spending, len(buyers))
	total, purchases := 0.0, 0.0
	for i := range buyers {
		spendings[i] = buyers[i].spending()
		if x := float64(buyers[i].x); x > 0 {
			total, purchases = total+x*buyers[i].mean, purchases+x
			if buyers[i].mean > 0 {
				s.Repeaters++
			}
		}
	}
	if purchases > 0 {
		s.Mean = total / purchases
	}
	rho, err := ltv.Correlation(spendings)
	if err == nil {
		s.Correlation = &rho
		if math.Abs(rho) > o.MaxCorrelation {
			s.Note = fmt.Sprintf("spend and frequency go together (correlation %.3f, allowed %g): everybody is taken to spend the mean", rho, o.MaxCorrelation)
			return s, nil
		}
	}
	m, q, err := ltv.FitGammaGamma(spendings, ltv.Options{Shrink: o.Shrink, Step: step})
	switch {
	case errors.Is(err, ltv.ErrNoRepeats), errors.Is(err, ltv.ErrTooFew), errors.Is(err, ltv.ErrNotConverged):
		s.Note = err.Error() + ": everybody is taken to spend the mean"
		return s, nil
	case err != nil:
		return nil, err
	}
	s.Model, s.model, s.LogLikelihood = gammaGamma, m, &q.LogLikelihood
	s.Parameters = parametersOf(q, []string{"p", "q", "gamma"}, m.P, m.Q, m.Gamma)
	if _, ok := m.Population(); !ok {
		s.Note = "q ≤ 1: spend has no mean over customers, and those without a repeat are taken to spend the mean of a repeat purchase"
	}
	return s, nil
}

// LTVCalibration is one row of the hold-out: buyers by their repeat purchases before the cut.
type LTVCalibration struct {
	X         string   `json:"x"`
	Buyers    int      `json:"buyers"`
	Predicted float64  `json:"predicted"`
	Actual    float64  `json:"actual"`
	SE        *float64 `json:"actual_se"`
}

// LTVHoldout compares a fit on what came before Cut with what came after it.
type LTVHoldout struct {
	Cut        instant          `json:"cut"`
	Until      instant          `json:"until"`
	Parameters []LTVParameter   `json:"parameters,omitempty"`
	Rows       []LTVCalibration `json:"rows,omitempty"`
	All        *LTVCalibration  `json:"all"`
	// Note says why there is no comparison.
	Note string `json:"note,omitempty"`
}

// LTVFit is a fit and what it says. Money is in minor units.
type LTVFit struct {
	Fit      string  `json:"fit"`
	Model    string  `json:"model"`
	Creator  string  `json:"creator"`
	Currency string  `json:"currency"`
	AsOf     instant `json:"as_of"`
	// Complete is the watermark of the stored events: where AsOf is later, purchases may be missing, and buyers look less alive.
	Complete  instant `json:"complete_to"`
	Horizon   float64 `json:"horizon"`
	Unit      string  `json:"horizon_unit"`
	Buyers    int     `json:"buyers"`
	Repeaters int     `json:"repeaters"`

	Parameters    []LTVParameter `json:"parameters"`
	LogLikelihood float64        `json:"log_likelihood"`
	Spend         *LTVSpend      `json:"spend"`
	Holdout       *LTVHoldout    `json:"holdout"`
	// Purchases and Value are expected of all buyers within the horizon.
	Purchases float64 `json:"purchases"`
	Value     float64 `json:"value"`
	// Alive is the mean probability of still being a customer, of those for whom the model can tell; nil without one.
	Alive *float64 `json:"p_alive"`
	Words string   `json:"words"`

	model  purchaseModel
	buyers []buyer
}

// ltvWords stand beside every prediction.
const ltvWords = "Expectations over customers with the same history: individual predictions are not guarantees."

// measureLTV reads histories, fits them, and compares a fit on the earlier of them with what came later.
// progress is told the stage and how many evaluations it has taken.
func measureLTV(ctx context.Context, client *clickhouse.Client, o LTVOptions, progress func(stage string, evaluations int)) (*LTVFit, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f := &LTVFit{Model: o.Model, Creator: o.Creator, Horizon: float64(o.Horizon), Unit: "weeks", Words: ltvWords}
	if o.Model == "bgbb" {
		f.Horizon, f.Unit = float64(o.Drops), "eligible drops"
	}
	first, err := o.scope(ctx, client, f)
	if err != nil {
		return nil, err
	}
	step := func(stage string) func(int, float64) error {
		return func(evaluations int, _ float64) error {
			progress(stage, evaluations)
			return ctx.Err()
		}
	}
	progress("read histories", 0)
	if f.buyers, err = o.read(ctx, client, f, int64(f.AsOf), 0); err != nil {
		return nil, err
	}
	if f.Buyers = len(f.buyers); f.Buyers == 0 && o.Model == "bgbb" {
		return nil, fmt.Errorf("nobody has bought in %s at a drop of the catalogue before %s: without drops, --model bgnbd takes purchases as possible at any time", f.Currency, f.AsOf)
	}
	for i := range f.buyers {
		if f.buyers[i].x > 0 {
			f.Repeaters++
		}
	}
	var q ltv.Quality
	if f.model, f.Parameters, q, err = o.fitPurchases(f.buyers, step("fit purchases")); err != nil {
		if errors.Is(err, ltv.ErrNotConverged) && o.Shrink == 0 {
			err = fmt.Errorf("%w; --shrink 0.1 gives an answer where the data leave parameters open", err)
		}
		return nil, fmt.Errorf("%s on %d buyers in %s, %d of whom bought again, as of %s: %w", o.Model, f.Buyers, f.Currency, f.Repeaters, f.AsOf, err)
	}
	f.LogLikelihood = q.LogLikelihood
	if f.Spend, err = o.fitSpend(f.buyers, step("fit spend")); err != nil {
		return nil, fmt.Errorf("gamma-gamma in %s: %w", f.Currency, err)
	}
	if f.Holdout, err = o.holdOut(ctx, client, f, first, step("fit hold-out")); err != nil {
		return nil, err
	}
	f.Fit = f.identify()
	return f, f.total(o)
}

// scope settles the currency and the time of a fit, and returns the time of the first purchase (Unix ms).
func (o *LTVOptions) scope(ctx context.Context, client *clickhouse.Client, f *LTVFit) (first int64, err error) {
	data, err := client.Query(ctx, "ltv_currencies", clickhouse.Params{"creator": o.Creator})
	if err != nil {
		return 0, err
	}
	var known []string
	for i := range data.Rows {
		r := row{data, i}
		code := r.text("currency")
		known = append(known, code)
		if o.Currency != "" && o.Currency != code || f.Currency != "" {
			continue
		}
		f.Currency = code
		first = r.value("first").(time.Time).UnixMilli()
		f.AsOf = instant(r.value("watermark").(time.Time).UnixMilli())
	}
	switch {
	case len(known) == 0 && o.Creator != "":
		return 0, fmt.Errorf("nobody has bought from creator %q", o.Creator)
	case len(known) == 0:
		return 0, errors.New("nobody has bought anything")
	case f.Currency == "":
		return 0, fmt.Errorf("nobody has bought in %q, but in %s", o.Currency, strings.Join(known, ", "))
	}
	f.Complete = f.AsOf
	if !o.AsOf.IsZero() {
		f.AsOf = instantOf(o.AsOf)
	}
	if cut := instantOf(o.Cut); cut >= f.AsOf {
		return 0, fmt.Errorf("--cut %s is not before %s", cut, f.AsOf)
	}
	if int64(f.AsOf) <= first {
		return 0, fmt.Errorf("the first purchase was at %s, which is not before %s", instant(first), f.AsOf)
	}
	return first, nil
}

// read asks for histories as of a time, with what came until another one.
func (o *LTVOptions) read(ctx context.Context, client *clickhouse.Client, f *LTVFit, asOf, until int64) ([]buyer, error) {
	name, age := "ltv_histories", "T"
	if o.Model == "bgbb" {
		name, age = "ltv_opportunities", "n"
	}
	data, err := client.Query(ctx, name, clickhouse.Params{"currency": f.Currency, "creator": o.Creator, "as_of_ms": asOf, "until_ms": until})
	if err != nil {
		return nil, err
	}
	columns := map[string]int{}
	for i, column := range data.Columns {
		columns[column] = i
	}
	buyers := make([]buyer, len(data.Rows))
	for i, cells := range data.Rows {
		b := &buyers[i]
		number := func(column string) float64 {
			switch v := cells[columns[column]].(type) {
			case int64:
				return float64(v)
			case float64:
				return v
			case *float64:
				if v != nil {
					return *v
				}
			}
			return math.NaN()
		}
		b.player = cells[columns["player_id"]].(string)
		b.first = cells[columns["first_purchase"]].(time.Time).UnixMilli()
		b.x, b.last, b.age, b.mean, b.later = int(number("x")), number("t_x"), number(age), number("m"), number("later")
		if o.Model == "bgbb" {
			b.laterDrops = int(number("later_n"))
		}
	}
	return buyers, nil
}

// holdOut fits on what came before the cut. A fit that the earlier data do not allow is a note.
func (o *LTVOptions) holdOut(ctx context.Context, client *clickhouse.Client, f *LTVFit, first int64, step func(int, float64) error) (*LTVHoldout, error) {
	h := &LTVHoldout{Cut: instantOf(o.Cut), Until: f.AsOf}
	if h.Cut == 0 {
		h.Cut = instant(first + (int64(f.AsOf)-first)/2)
		if o.Model == "bgnbd" {
			// Histories are in whole days.
			day := instant(24 * time.Hour / time.Millisecond)
			h.Cut -= h.Cut % day
		}
	}
	buyers, err := o.read(ctx, client, f, int64(h.Cut), int64(h.Until))
	if err != nil {
		return nil, err
	}
	m, parameters, _, err := o.fitPurchases(buyers, step)
	switch {
	case errors.Is(err, ltv.ErrNoRepeats), errors.Is(err, ltv.ErrTooFew), errors.Is(err, ltv.ErrNoExposure), errors.Is(err, ltv.ErrNotConverged):
		h.Note = fmt.Sprintf("no fit on the %d buyers before the cut: %v", len(buyers), err)
		return h, nil
	case err != nil:
		return nil, err
	}
	h.Parameters = parameters
	length := float64(h.Until-h.Cut) / float64(7*24*time.Hour/time.Millisecond)
	var outcomes []ltv.Outcome
	for i := range buyers {
		b := &buyers[i]
		predicted, err := m.held(b, length)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, ltv.Outcome{X: b.x, Predicted: predicted, Actual: b.later})
	}
	rows, all := ltv.Calibrate(outcomes, o.Most)
	for _, r := range rows {
		h.Rows = append(h.Rows, calibrationRow(r))
	}
	total := calibrationRow(all)
	total.X = "all"
	h.All = &total
	return h, nil
}

func calibrationRow(c ltv.Calibration) LTVCalibration {
	x := strconv.Itoa(c.X)
	if c.Open {
		x += "+"
	}
	return LTVCalibration{X: x, Buyers: c.Customers, Predicted: c.Predicted, Actual: c.Actual, SE: ptr(c.SE)}
}

// identify names a fit by its model, time and parameters.
func (f *LTVFit) identify() string {
	hash := sha256.New()
	for _, p := range append(append([]LTVParameter(nil), f.Parameters...), f.Spend.Parameters...) {
		fmt.Fprintf(hash, "%s=%x\n", p.Name, math.Float64bits(p.Value))
	}
	fmt.Fprintf(hash, "%s %g %x", f.Spend.Model, f.Horizon, math.Float64bits(f.Spend.Mean))
	return fmt.Sprintf("%s-%s-%x", f.Model, time.UnixMilli(int64(f.AsOf)).UTC().Format("20060102T150405Z"), hash.Sum(nil)[:4])
}

// prediction is what the fit says of one buyer: purchases, spend per purchase and value.
func (f *LTVFit) prediction(b *buyer, o *LTVOptions) (purchases, spend, value float64, err error) {
	if purchases, err = f.model.next(b, f.Horizon, 0); err != nil {
		return 0, 0, 0, err
	}
	discounted := purchases
	if o.Discount > 0 {
		if discounted, err = f.model.next(b, f.Horizon, o.Discount); err != nil {
			return 0, 0, 0, err
		}
	}
	spend = f.Spend.of(b)
	return purchases, spend, o.Margin * spend * discounted, nil
}

// total adds up what is expected of all buyers.
func (f *LTVFit) total(o LTVOptions) error {
	alive, told := 0.0, 0.0
	for i := range f.buyers {
		b := &f.buyers[i]
		purchases, _, value, err := f.prediction(b, &o)
		if err != nil {
			return err
		}
		f.Purchases += purchases
		f.Value += value
		if o.Model == "bgbb" || b.x > 0 {
			alive, told = alive+f.model.alive(b), told+1
		}
	}
	if told > 0 {
		f.Alive = ptr(alive / told)
	}
	return nil
}
