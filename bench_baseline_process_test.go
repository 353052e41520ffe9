package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// baselineProcess is Kafka → churn and velocity → Kafka as it is written by hand: encoding/json both ways, maps of structs
// as state, each changed key's state as JSON to a change-log, outputs, change-log and offsets in one transaction. It has
// the windows, duplicates, clocks and lateness of the processors. It lacks what costs them besides: staged
// state, so an abort ends it; corrections of published funnels by events out of order; validation; dead letters; restoring.
type baselineProcess struct {
	conf       kafka.Config
	group      string
	partitions int32

	tasks     []*baselineTask
	processed atomic.Int64 // records of committed transactions
}

// A transaction gathers for so long, or so many records; as the stage's.
const (
	baselineCommitEvery = 100 * time.Millisecond
	baselineMaxRecords  = 50_000
)

// baselineEvent has what churn and velocity need of any kind.
type baselineEvent struct {
	ID          uuid.UUID `json:"id"`
	Type        string    `json:"type"`
	EventTime   int64     `json:"event_time"`
	IngestTime  int64     `json:"ingest_time"`
	PlayerID    string    `json:"player_id"`
	DropID      string    `json:"drop_id"`
	CreatorID   string    `json:"creator_id"`
	POP         string    `json:"pop"`
	Synthetic   bool      `json:"synthetic"`
	HeartbeatMS int64     `json:"heartbeat_ms"`
	Request     string    `json:"request"`
	MS          float64   `json:"ms"`
	Amount      int64     `json:"amount"`
	Currency    string    `json:"currency"`
}

// baselineTask is the state of one partition.
type baselineTask struct {
	partition int32
	newest    [4]int64 // event time by input
	seen      [4]baselineSeen
	players   map[string]*baselinePlayer
	panes     map[baselinePane]*event.Velocity
	journeys  map[string]*baselineJourney
	late      int

	changedPlayers  map[string]bool
	waiting         map[string]bool // published less than a second ago, and changed since
	changedPanes    map[baselinePane]bool
	changedJourneys map[string]bool
	out             []*kgo.Record
}

// baselineSeen remembers IDs for at least baselineSeenFor of event time, in two generations.
type baselineSeen struct {
	young, old map[uuid.UUID]struct{}
	turned     int64
}

const (
	baselineSeenFor     = 20 * 60_000
	baselineOutOfOrder  = 10_000
	baselineLateness    = 10 * 60_000
	baselineClockSkew   = 60_000
	baselineSessionGap  = 30 * 60_000
	baselinePublishWait = 1000
	baselinePaneMS      = 10_000
	baselineHour        = 3_600_000
	baselineDay         = 24 * baselineHour
)

type baselinePane struct {
	drop, pop string
	start     int64
}

type baselineJourney struct {
	At        [event.NumSteps]int64 `json:"at"`
	Gap       bool                  `json:"gap"`
	Converted bool                  `json:"converted"`
}

type baselinePlayer struct {
	Revision  uint64 `json:"revision"`
	Published int64  `json:"published"`
	AsOf      int64  `json:"as_of"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
	Beat      int64  `json:"beat"`
	BeatEvery int64  `json:"beat_every"`
	Currency  string `json:"currency"`

	Sessions uint32  `json:"sessions"`
	GapMean  float64 `json:"gap_mean"`
	GapVar   float64 `json:"gap_var"`

	// Buckets by start: 5 minutes, 1 hour and 1 day wide.
	Buckets  [3]map[int64]*baselineBucket `json:"buckets"`
	Creators map[string]int64             `json:"creators"`
	Drops    map[string]int64             `json:"drops"`
}

type baselineBucket struct {
	Active      bool    `json:"active,omitempty"`
	Sessions    uint32  `json:"sessions,omitempty"`
	PlayMS      int64   `json:"play_ms,omitempty"`
	Landings    uint32  `json:"landings,omitempty"`
	Impressions uint32  `json:"impressions,omitempty"`
	Clicks      uint32  `json:"clicks,omitempty"`
	Checkouts   uint32  `json:"checkouts,omitempty"`
	Requests    uint32  `json:"requests,omitempty"`
	LatencySum  float64 `json:"latency_sum,omitempty"`
	LatencyMax  float64 `json:"latency_max,omitempty"`
	NetSpend    int64   `json:"net_spend,omitempty"`
}

// baselineWindows in the order of event.Features, each with its buckets.
var baselineWindows = [event.NumWindows]struct {
	width  int64
	bucket int
}{{baselineHour, 0}, {baselineDay, 1}, {7 * baselineDay, 2}, {28 * baselineDay, 2}}

var baselineBuckets = [3]struct{ width, kept int64 }{{5 * 60_000, baselineHour}, {baselineHour, baselineDay}, {baselineDay, 28 * baselineDay}}

// baselineTopics are where it writes: topics of its own, beside the processors'.
type baselineTopics struct{ features, velocity, changelog string }

func (p *baselineProcess) topics() baselineTopics {
	return baselineTopics{p.group + "-features", p.group + "-velocity", p.group + "-changelog"}
}

// run processes until ctx is done.
func (p *baselineProcess) run(ctx context.Context) error {
	opts, err := p.conf.Options("baseline-process")
	if err != nil {
		return err
	}
	topics := p.conf.Topics(stageInputs...)
	session, err := kgo.NewGroupTransactSession(append(opts, kgo.ConsumerGroup(p.group), kgo.TransactionalID(p.group),
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(1<<20))...)
	if err != nil {
		return err
	}
	defer session.Close()
	outputs := p.topics()
	compacted := "compact"
	for _, topic := range []string{outputs.features, outputs.velocity, outputs.changelog} {
		if _, err := kadm.NewClient(session.Client()).CreateTopic(ctx, p.partitions, 1, map[string]*string{"cleanup.policy": &compacted}, topic); err != nil {
			return err
		}
	}
	for n := range p.partitions {
		p.tasks = append(p.tasks, newBaselineTask(n))
	}
	for ctx.Err() == nil {
		queues, records, err := p.gather(ctx, session, topics)
		if err != nil || records == 0 {
			if err != nil && ctx.Err() == nil {
				return err
			}
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		var folding errgroup.Group
		folding.SetLimit(runtime.GOMAXPROCS(0))
		for _, task := range p.tasks {
			folding.Go(func() error { return task.fold(queues[task.partition], time.Now().UnixMilli(), outputs) })
		}
		if err := folding.Wait(); err != nil {
			return err
		}
		for _, task := range p.tasks {
			for _, r := range task.out {
				session.Produce(ctx, r, nil) // what fails makes End abort
			}
			task.out = nil
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !committed {
			return errors.New("baseline: the transaction was aborted, and its state is lost")
		}
		p.processed.Add(int64(records))
	}
	return nil
}

// gather polls for a transaction's records, by partition and input.
func (p *baselineProcess) gather(ctx context.Context, session *kgo.GroupTransactSession, topics []string) (queues [][4][]*kgo.Record, records int, err error) {
	queues = make([][4][]*kgo.Record, p.partitions)
	deadline := time.Now().Add(baselineCommitEvery)
	for records < baselineMaxRecords {
		polling, cancel := context.WithDeadline(ctx, deadline)
		fetches := session.PollRecords(polling, baselineMaxRecords-records)
		cancel()
		if err := fetches.Err(); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			return nil, 0, err
		}
		records += fetches.NumRecords()
		fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
			if len(tp.Records) > 0 { // a timeout is a partition without any
				queue := &queues[tp.Partition][slices.Index(topics, tp.Topic)]
				*queue = append(*queue, tp.Records...)
			}
		})
	}
	return queues, records, nil
}

func newBaselineTask(partition int32) *baselineTask {
	t := &baselineTask{
		partition: partition, players: map[string]*baselinePlayer{}, panes: map[baselinePane]*event.Velocity{}, journeys: map[string]*baselineJourney{},
		changedPlayers: map[string]bool{}, waiting: map[string]bool{}, changedPanes: map[baselinePane]bool{}, changedJourneys: map[string]bool{},
	}
	for i := range t.seen {
		t.seen[i] = baselineSeen{young: map[uuid.UUID]struct{}{}, old: map[uuid.UUID]struct{}{}}
	}
	return t
}

// fold processes a transaction's records in the order of their Kafka timestamps, and makes its outputs.
func (t *baselineTask) fold(queues [4][]*kgo.Record, now int64, topics baselineTopics) error {
	var ev baselineEvent
	for {
		input := -1
		for i, q := range queues {
			if len(q) > 0 && (input < 0 || q[0].Timestamp.Before(queues[input][0].Timestamp)) {
				input = i
			}
		}
		if input < 0 {
			break
		}
		r := queues[input][0]
		queues[input] = queues[input][1:]
		ev = baselineEvent{}
		if json.Unmarshal(r.Value, &ev) != nil {
			continue
		}
		if ev.IngestTime == 0 {
			ev.IngestTime = r.Timestamp.UnixMilli()
		}
		at := ev.EventTime
		if at > ev.IngestTime+baselineClockSkew {
			at = ev.IngestTime
		} else {
			t.newest[input] = max(t.newest[input], at)
		}
		if at < t.newest[input]-baselineOutOfOrder-baselineLateness {
			t.late++
			continue
		}
		if t.seen[input].again(ev.ID, t.newest[input]) || ev.Synthetic {
			continue
		}
		t.churn(stageInputs[input], &ev, at)
		t.velocity(&ev, at)
	}
	return t.flush(now, topics)
}

// again says whether an ID was seen, and remembers it.
func (s *baselineSeen) again(id uuid.UUID, newest int64) bool {
	if newest-s.turned > baselineSeenFor {
		s.young, s.old, s.turned = map[uuid.UUID]struct{}{}, s.young, newest
	}
	if _, ok := s.young[id]; ok {
		return true
	}
	if _, ok := s.old[id]; ok {
		return true
	}
	s.young[id] = struct{}{}
	return false
}

func (t *baselineTask) churn(kind event.Kind, ev *baselineEvent, at int64) {
	if ev.PlayerID == "" || kind == event.KindSubtitle || ev.Type == "settled" || ev.Type == "fulfilled" || ev.Type == "shipped" || ev.Request == "probe" {
		return
	}
	p := t.players[ev.PlayerID]
	if p == nil {
		p = &baselinePlayer{Creators: map[string]int64{}, Drops: map[string]int64{}}
		for i := range p.Buckets {
			p.Buckets[i] = map[int64]*baselineBucket{}
		}
		t.players[ev.PlayerID] = p
	}
	t.changedPlayers[ev.PlayerID] = true
	p.advance(at)
	switch ev.Type {
	case "completed":
		if p.Currency == "" {
			p.Currency = ev.Currency
		}
		p.spend(ev, at, ev.Amount)
	case "refunded", "chargeback":
		p.spend(ev, at, -ev.Amount)
		return
	}
	if p.First == 0 || at < p.First {
		p.First = at
	}
	switch gap := at - p.Last; {
	case p.Last == 0, gap > baselineSessionGap:
		p.each(at, func(b *baselineBucket) { b.Sessions++ })
		if p.Sessions++; p.Sessions == 2 {
			p.GapMean = float64(gap) / 1000
		} else if p.Sessions > 2 {
			d := float64(gap)/1000 - p.GapMean
			p.GapMean += 0.3 * d
			p.GapVar = 0.7 * (p.GapVar + 0.3*d*d)
		}
	}
	p.Last = max(p.Last, at)
	if ev.CreatorID != "" {
		p.Creators[ev.CreatorID] = max(p.Creators[ev.CreatorID], at)
	}
	if ev.DropID != "" {
		p.Drops[ev.DropID] = max(p.Drops[ev.DropID], at)
	}
	switch ev.Type {
	case "session_start", "heartbeat", "session_end":
		every := ev.HeartbeatMS
		if every == 0 {
			every = 30_000
		}
		if d, h := at-p.Beat, max(every, p.BeatEvery); p.Beat != 0 && ev.Type != "session_start" && d > 0 && d <= 3*h {
			p.each(p.Beat, func(b *baselineBucket) { b.PlayMS += min(d, 3*h/2) })
		}
		if p.Beat, p.BeatEvery = at, every; ev.Type == "session_end" {
			p.Beat = 0
		}
	}
	p.each(at, func(b *baselineBucket) {
		b.Active = true
		switch ev.Type {
		case "landing_view":
			b.Landings++
		case "offer_impression":
			b.Impressions++
		case "offer_click":
			b.Clicks++
		case "completed":
			b.Checkouts++
		}
		if kind == event.KindLatency {
			b.Requests++
			b.LatencySum += ev.MS
			b.LatencyMax = max(b.LatencyMax, ev.MS)
		}
	})
}

func (p *baselinePlayer) spend(ev *baselineEvent, at, amount int64) {
	if ev.Currency == p.Currency {
		p.each(at, func(b *baselineBucket) { b.NetSpend += amount })
	}
}

// each changes the buckets that count a moment.
func (p *baselinePlayer) each(at int64, change func(*baselineBucket)) {
	for i, kind := range baselineBuckets {
		start := at - at%kind.width
		if start < oldestBucket(i, kind.kept, p.AsOf) {
			continue
		}
		b := p.Buckets[i][start]
		if b == nil {
			b = &baselineBucket{}
			p.Buckets[i][start] = b
		}
		change(b)
	}
}

func oldestBucket(bucket int, width, asOf int64) int64 {
	oldest := asOf - width
	return oldest - oldest%baselineBuckets[bucket].width
}

// advance moves the newest event on and forgets what has left the windows.
func (p *baselinePlayer) advance(at int64) {
	before := p.AsOf
	p.AsOf = max(p.AsOf, at+1)
	if before/baselineBuckets[0].width == p.AsOf/baselineBuckets[0].width {
		return
	}
	for i, kind := range baselineBuckets {
		oldest := oldestBucket(i, kind.kept, p.AsOf)
		for start := range p.Buckets[i] {
			if start < oldest {
				delete(p.Buckets[i], start)
			}
		}
	}
	oldest := oldestBucket(2, 28*baselineDay, p.AsOf)
	for _, met := range []map[string]int64{p.Creators, p.Drops} {
		for id, last := range met {
			if last < oldest {
				delete(met, id)
			}
		}
	}
}

func (p *baselinePlayer) features(id string, watermark int64) *event.Features {
	f := &event.Features{
		PlayerID: id, Revision: p.Revision, AsOf: p.AsOf, Watermark: watermark, FirstActivity: p.First, LastActivity: p.Last,
		SessionsTotal: p.Sessions, GapMeanS: p.GapMean, GapVarS2: p.GapVar, SpendCurrency: p.Currency,
	}
	if p.Sessions < 2 {
		f.GapMeanS, f.GapVarS2 = -1, -1
	}
	for w, window := range baselineWindows {
		oldest := oldestBucket(window.bucket, window.width, p.AsOf)
		days := map[int64]bool{}
		var requests uint32
		var playMS int64
		latency := 0.0
		for start, b := range p.Buckets[window.bucket] {
			if start < oldest {
				continue
			}
			if b.Active {
				days[start/baselineDay] = true
			}
			f.Sessions[w] += b.Sessions
			playMS += b.PlayMS
			f.Landings[w] += b.Landings
			f.Impressions[w] += b.Impressions
			f.Clicks[w] += b.Clicks
			f.Checkouts[w] += b.Checkouts
			f.NetSpend[w] += b.NetSpend
			requests += b.Requests
			latency += b.LatencySum
			f.LatencyMaxMS[w] = max(f.LatencyMaxMS[w], b.LatencyMax)
		}
		f.PlaytimeS[w], f.ActiveDays[w] = uint32(playMS/1000), uint32(len(days))
		if f.LatencyMeanMS[w] = latency / float64(requests); requests == 0 {
			f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		}
		for _, last := range p.Creators {
			if last >= oldest {
				f.Creators[w]++
			}
		}
		for _, last := range p.Drops {
			if last >= oldest {
				f.Drops[w]++
			}
		}
	}
	return f
}

var baselineSteps = map[string]int{
	"landing_view": event.StepLanding, "offer_impression": event.StepImpression, "offer_click": event.StepClick,
	"started": event.StepStarted, "completed": event.StepCompleted,
}

func (t *baselineTask) velocity(ev *baselineEvent, at int64) {
	step, counts := baselineSteps[ev.Type]
	if ev.DropID == "" || !counts && ev.Type != "failed" && ev.Type != "refunded" && ev.Type != "chargeback" {
		return
	}
	key := baselinePane{ev.DropID, ev.POP, at - at%baselinePaneMS}
	v := t.panes[key]
	if v == nil {
		v = &event.Velocity{DropID: key.drop, POP: key.pop, Partition: t.partition, PaneStart: key.start, PaneMS: baselinePaneMS}
		t.panes[key] = v
	}
	t.changedPanes[key] = true
	switch ev.Type {
	case "completed":
		baselineMoney(v, ev.Currency).Gross += ev.Amount
	case "failed":
		v.Failed++
	case "refunded":
		v.Refunded++
		baselineMoney(v, ev.Currency).Refunds += ev.Amount
	case "chargeback":
		v.Chargeback++
		baselineMoney(v, ev.Currency).Chargebacks += ev.Amount
	}
	if !counts {
		return
	}
	v.Events[step]++
	if ev.PlayerID != "" {
		t.advance(v, ev, step, at)
	}
}

func baselineMoney(v *event.Velocity, currency string) *event.Money {
	i := slices.IndexFunc(v.Money, func(m event.Money) bool { return m.Currency == currency })
	if i < 0 {
		i = len(v.Money)
		v.Money = append(v.Money, event.Money{Currency: currency})
	}
	return &v.Money[i]
}

// advance counts a player's first event of a step, as things stand when it arrives.
func (t *baselineTask) advance(v *event.Velocity, ev *baselineEvent, step int, at int64) {
	key := ev.DropID + "|" + ev.PlayerID
	j := t.journeys[key]
	if j == nil {
		j = &baselineJourney{}
		t.journeys[key] = j
	}
	if j.At[step] != 0 {
		return
	}
	j.At[step] = at
	t.changedJourneys[key] = true
	ordered := true
	for k := range step {
		ordered = ordered && j.At[k] != 0 && j.At[k] <= j.At[k+1]
	}
	switch {
	case ordered:
		v.Players[step]++
	case !j.Gap:
		j.Gap = true
		v.FunnelGap++
	}
	if step != event.StepCompleted {
		return
	}
	v.Conversions++
	if landing := j.At[event.StepLanding]; landing != 0 && landing <= at {
		panes := uint32((v.PaneStart - (landing - landing%baselinePaneMS)) / baselinePaneMS)
		i := slices.IndexFunc(v.TimeToConvert, func(c event.TimeToConvert) bool { return c.Panes == panes })
		if i < 0 {
			i = len(v.TimeToConvert)
			v.TimeToConvert = append(v.TimeToConvert, event.TimeToConvert{Panes: panes})
		}
		v.TimeToConvert[i].Count++
	}
}

// flush makes the messages of what changed: features at most once a second a player, panes always, final ones once.
func (t *baselineTask) flush(now int64, topics baselineTopics) error {
	watermark := int64(math.MaxInt64)
	for _, newest := range t.newest[:3] {
		watermark = min(watermark, newest-baselineOutOfOrder-1)
	}
	add := func(topic, key string, value any) error {
		data, err := json.Marshal(value)
		if err == nil {
			t.out = append(t.out, &kgo.Record{Topic: topic, Key: []byte(key), Value: data})
		}
		return err
	}
	for id := range t.changedPlayers {
		t.waiting[id] = true
	}
	for id := range t.waiting {
		if p := t.players[id]; now-p.Published >= baselinePublishWait {
			delete(t.waiting, id)
			t.changedPlayers[id] = true
			p.Revision++
			p.Published = now
			if err := add(topics.features, id, p.features(id, watermark)); err != nil {
				return err
			}
		}
	}
	for id := range t.changedPlayers {
		if err := add(topics.changelog, "player|"+id, t.players[id]); err != nil {
			return err
		}
	}
	for key := range t.changedJourneys {
		if err := add(topics.changelog, "journey|"+key, t.journeys[key]); err != nil {
			return err
		}
	}
	for key, v := range t.panes {
		final := key.start+baselinePaneMS-1 <= watermark-baselineLateness
		if !final && !t.changedPanes[key] {
			continue
		}
		id := fmt.Sprintf("%s|%s|%d|%d", key.drop, key.pop, key.start, t.partition)
		v.Revision++
		v.Watermark = watermark
		if final {
			v.Maturity = event.Final
		}
		if err := add(topics.velocity, id, v); err != nil {
			return err
		}
		if final {
			delete(t.panes, key)
			t.out = append(t.out, &kgo.Record{Topic: topics.changelog, Key: []byte("pane|" + id)})
			continue
		}
		if err := add(topics.changelog, "pane|"+id, v); err != nil {
			return err
		}
	}
	clear(t.changedPlayers)
	clear(t.changedJourneys)
	clear(t.changedPanes)
	return nil
}
