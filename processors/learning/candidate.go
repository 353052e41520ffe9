package learning

import (
	"fmt"
	"math"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// The metrics that Learner publishes.
const (
	MetricLogLoss     = "model_log_loss"
	MetricBrier       = "model_brier"
	MetricCalibration = "model_calibration"
)

// enough examples for a statement about a window.
const enough = 100

// metricBins of a candidate's calibration error and references, golden rows of its artefact.
const (
	metricBins = 10
	goldenRows = 8
)

func (l *Learner) publishWindow(w *window, out *processors.Output) {
	for i := range w.voices {
		v := &w.voices[i]
		if v.n == 0 {
			continue
		}
		n := float64(v.n)
		e := &l.estimate
		*e = event.Estimate{
			DropID: "model:" + w.model, Dimensions: append(e.Dimensions[:0], event.Dimension{Name: "by", Value: voiceNames[i]}),
			Revision: w.revision, AsOf: w.to, From: w.from, To: w.to, Maturity: event.Final, N: v.n, Numerator: v.positives,
			Enough: v.n >= enough, Confidence: 0.95, P: -1, SampleRate: 1, Details: e.Details[:0],
		}
		if !e.Enough {
			e.Why = fmt.Sprintf("fewer than %d examples", enough)
		}
		e.Details = append(e.Details[:0], event.Detail{Name: "base_log_loss", Value: v.base / n})
		l.emit(MetricLogLoss, "nats", v.loss/n, deviation(v.loss, v.loss2, n), out)
		e.Details = e.Details[:0]
		l.emit(MetricBrier, "1", v.square/n, deviation(v.square, v.square2, n), out)
		for b, bin := range v.bins {
			if bin.n == 0 {
				continue
			}
			of := float64(bin.n)
			e.Details = append(e.Details, event.Detail{Name: fmt.Sprintf("n_%d", b), Value: of},
				event.Detail{Name: fmt.Sprintf("mean_p_%d", b), Value: bin.p / of},
				event.Detail{Name: fmt.Sprintf("rate_%d", b), Value: float64(bin.positives) / of})
		}
		l.emit(MetricCalibration, "pp", 100*v.miss/n, 100*deviation(v.miss, v.square, n), out)
	}
}

// deviation of n values with this sum and sum of squares.
func deviation(sum, squares, n float64) float64 {
	return math.Sqrt(max(0, squares-sum*sum/n) / max(1, n-1))
}

func (l *Learner) emit(metric, unit string, value, deviation float64, out *processors.Output) {
	e := &l.estimate
	e.Metric, e.Unit, e.Value, e.Low, e.High = metric, unit, 0, 0, 0
	if e.Enough {
		half := stats.Z95 * deviation / math.Sqrt(float64(e.N))
		e.Value, e.Low, e.High = value, value-half, value+half
	}
	l.key = wire.AppendPart(wire.AppendPart(l.key[:0], e.DropID), metric)
	l.key = append(append(l.key, "by="...), e.Dimensions[0].Value...)
	out.Emit(event.KindEstimate, wire.Alias(l.key), e.AppendJSON)
}

// publishCandidate emits the model as it is now. Nobody answers with it unless it is promoted, which it never is from here.
func (l *Learner) publishCandidate(name string, m *model, nowMS int64, out *processors.Output) {
	m.due, m.candidateAfter, m.candidateAt = false, m.examples, m.newest
	record, err := l.candidate(name, m)
	if err != nil {
		l.fates[fateUnsealed]++
		return
	}
	record.PublishedAt = nowMS
	l.key = wire.AppendPart(l.key[:0], name)
	l.key = append(l.key, record.Version...)
	out.Emit(event.KindModel, wire.Alias(l.key), record.AppendJSON)
	l.fates[fateCandidate]++
}

// candidate makes the artefact. Its metrics are those of progressive validation over the kept examples: each was scored before
// it was learned from, by an earlier state of the model.
func (l *Learner) candidate(name string, m *model) (*event.Model, error) {
	rows := l.newest(name, m)
	set := feature.Player
	a := &scoring.Artefact{
		Name: name, Kind: "ftrl", Linear: m.online.Linear(),
		Features: scoring.Contract{Set: set.Name, Version: set.Version, Hash: set.Hash(), Names: set.Names()},
		Training: scoring.Training{
			From: m.first, To: m.last, EmbargoMS: m.embargo, HorizonMS: m.horizon, Label: "no session starts within the horizon after the embargo",
			Rows: int(m.updates), Positives: int(m.positives), Trainer: "droplift FTRL-proximal, progressive validation", Updates: m.updates,
		},
	}
	var p, y []float64
	data := churn.Data{Names: set.Names()}
	for i := range rows {
		r := &rows[i]
		data.X = append(data.X, r.vector)
		if r.p < 0 {
			continue
		}
		if len(p) == 0 {
			a.Training.TestFrom, a.Training.TestTo = r.at, r.at
		}
		a.Training.TestFrom, a.Training.TestTo = min(a.Training.TestFrom, r.at), max(a.Training.TestTo, r.at)
		p, y = append(p, r.p), append(y, label(r.churned))
	}
	metrics, err := churn.Evaluate(p, y, metricBins)
	if err != nil {
		return nil, err
	}
	metrics.BaseLogLoss = churn.BaseLogLoss(float64(m.positives)/float64(m.examples), y)
	a.Metrics, a.Reference = &metrics, churn.References(data, metricBins)
	for _, r := range rows[len(rows)-min(len(rows), goldenRows):] {
		// The probability is the learner's own, so that the exported weights are held to it.
		p, err := m.online.Predict(r.vector)
		if err != nil {
			return nil, err
		}
		golden := scoring.Golden{Raw: churn.Raw(a.Linear, r.vector), P: p}
		for _, v := range r.vector {
			if v != v {
				golden.Features = append(golden.Features, nil)
				continue
			}
			golden.Features = append(golden.Features, &v)
		}
		a.Golden = append(a.Golden, golden)
	}
	a.Version = churn.Version(a, m.newest)
	file, err := scoring.Seal(a, set)
	if err != nil {
		return nil, err
	}
	return &event.Model{
		Name: name, Version: a.Version, Kind: a.Kind, FeatureHash: a.Features.Hash, Checksum: a.Checksum, Artefact: event.PackArtefact(file),
	}, nil
}
