package clickhouse

import "github.com/droplift/droplift/ingest/event"

func newLocalization() *table {
	t := &table{name: "localization", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	language := c.label("language")
	same := newVector[bool](c, "same_language", "Bool")
	partition := newVector[uint32](c, "partition", "UInt32")
	start := c.moment("pane_start")
	width := newVector[uint32](c, "pane_ms", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	var v event.Localization
	var counts []func()
	for _, f := range []struct {
		name  string
		value *uint32
	}{
		{"expected", &v.Expected}, {"good", &v.Good}, {"stretch", &v.Stretch}, {"missing", &v.Missing}, {"unreported", &v.Unreported},
		{"slow", &v.Slow}, {"brief", &v.Brief}, {"long", &v.Long}, {"dense", &v.Dense}, {"wordy", &v.Wordy}, {"early", &v.Early},
		{"latency_zero", &v.LatencyZero}, {"translated", &v.Translated},
	} {
		column := newVector[uint32](c, f.name, "UInt32")
		counts = append(counts, func() { column.add(*f.value) })
	}
	latencySum := newVector[int64](c, "latency_sum_ms", "Int64")
	latencyIndex := newVector[[]int32](c, "latency_index", "Array(Int32)")
	latencyCount := newVector[[]uint32](c, "latency_count", "Array(UInt32)")
	translationSum := newVector[int64](c, "translation_sum_ms", "Int64")
	translationIndex := newVector[[]int32](c, "translation_index", "Array(Int32)")
	translationCount := newVector[[]uint32](c, "translation_count", "Array(UInt32)")
	t.addPosition(c)

	var decoder event.Decoder
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Localization(r.Value, &v); err != nil {
			return 0, err
		}
		drop.add(v.DropID)
		language.add(v.Language)
		same.add(v.SameLanguage)
		partition.add(uint32(v.Partition))
		start.add(v.PaneStart)
		width.add(uint32(v.PaneMS))
		revision.add(v.Revision)
		watermark.add(v.Watermark, v.Watermark >= 0)
		maturity.add(v.Maturity.String())
		for _, add := range counts {
			add()
		}
		latencySum.add(v.LatencySumMS)
		latencyIndex.add(each(v.LatencyBins, func(b event.CueLatencyBin) int32 { return int32(b.Index) }))
		latencyCount.add(each(v.LatencyBins, func(b event.CueLatencyBin) uint32 { return b.Count }))
		translationSum.add(v.TranslationSumMS)
		translationIndex.add(each(v.TranslationBins, func(b event.CueTranslationBin) int32 { return int32(b.Index) }))
		translationCount.add(each(v.TranslationBins, func(b event.CueTranslationBin) uint32 { return b.Count }))
		return min(v.PaneStart, r.Timestamp), nil
	}
	return t
}
