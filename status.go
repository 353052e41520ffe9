package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// StatusCmd shows how an installation does and, where it is behind, why.
type StatusCmd struct {
	Node     []string      `help:"Metrics address of a process (http://HOST:PORT), repeatable. Default: --metrics-addr." placeholder:"URL"`
	Interval time.Duration `help:"How long one look measures." default:"2s"`
	Once     bool          `help:"Look once and end."`
	JSON     bool          `name:"json" help:"Print every look as one line of JSON."`
}

// Help is shown by --help.
func (c *StatusCmd) Help() string {
	return "Reads the metrics of running processes, the consumer groups from Kafka and the tables from ClickHouse, and says of every " +
		"stage and feed what it waits for. Example: droplift status --node http://10.0.0.5:9464 --node http://10.0.0.6:9464"
}

func (c *StatusCmd) Run(ctx context.Context, cfg *Config) error {
	nodes, err := c.nodes(cfg)
	if err != nil {
		return err
	}
	o := newObserver(cfg, nodes)
	defer o.close()
	view := newView(os.Stdout, !c.Once)
	for {
		if err := o.start(ctx); err != nil {
			return nil // Ctrl-C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Interval):
		}
		status := o.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if c.JSON {
			err = json.NewEncoder(os.Stdout).Encode(status)
		} else {
			err = view.show(status)
		}
		if err != nil || c.Once {
			return err
		}
	}
}

// nodes are the processes to ask.
func (c *StatusCmd) nodes(cfg *Config) ([]string, error) {
	if c.Interval < 100*time.Millisecond {
		return nil, fmt.Errorf("--interval: %s is too short to measure anything; take 100ms or more", c.Interval)
	}
	if len(c.Node) == 0 {
		if cfg.MetricsAddr == "" {
			return nil, errors.New("--node: name a process, since --metrics-addr is empty")
		}
		return []string{"http://" + cfg.MetricsAddr}, nil
	}
	var out []string
	var problems []error
	for _, node := range c.Node {
		if !strings.Contains(node, "://") {
			node = "http://" + node
		}
		u, err := url.Parse(node)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			problems = append(problems, fmt.Errorf("--node: %q is not a URL such as http://127.0.0.1:9464", node))
			continue
		}
		address := u.Scheme + "://" + u.Host + strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/metrics")
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	return out, errors.Join(problems...)
}

// installation is how everything does over one interval. Rates are a second.
type installation struct {
	At       time.Time     `json:"at"`
	Interval float64       `json:"interval_seconds"`
	Nodes    []nodeStatus  `json:"nodes"`
	Loops    []loopStatus  `json:"loops"`
	Groups   []groupStatus `json:"groups"`
	Tables   []tableStatus `json:"tables"`
	// Problems are what keeps this from being the whole picture, each with its remedy.
	Problems []string `json:"problems"`
}

// nodeStatus is one process.
type nodeStatus struct {
	Node string `json:"node"`
	// Answers says that it serves metrics, Waits what it is not ready for.
	Answers bool   `json:"answers"`
	Waits   string `json:"waits,omitempty"`
	// Cores is the processors it used, of Processors; Memory is the share of GOMEMLIMIT in use, 0 without a limit.
	Cores      float64 `json:"cores"`
	Processors float64 `json:"processors"`
	Memory     float64 `json:"memory"`
	// ResidentBytes is its memory.
	ResidentBytes float64 `json:"resident_bytes"`
}

// loopStatus is a stage, or a feed's workers of one topic, in one process.
type loopStatus struct {
	Node string `json:"node"`
	// Group is the consumer group; Topic is empty for a stage.
	Group string `json:"group"`
	Topic string `json:"topic,omitempty"`
	verdict
	// Rate of records done. Lag in offsets, Growth of it a second.
	Rate   float64 `json:"rate"`
	Lag    float64 `json:"lag"`
	Growth float64 `json:"lag_growth"`
	// Clears is in how many seconds the lag will be gone if it goes on like this; absent while it does not shrink.
	Clears *float64 `json:"clears_in_seconds,omitempty"`
	// Stale is how old the last committed record is, by Kafka time, in the partition furthest behind; 0 without lag, absent if unknown.
	Stale *float64 `json:"stale_seconds,omitempty"`
	// Skew is the largest partition's lag, over all inputs, divided by the mean's; 0 without lag.
	Skew       float64            `json:"skew"`
	Partitions []partitionLag     `json:"partitions"`
	Shares     map[string]float64 `json:"time_shares"`
	// LastCommit, in Unix seconds, of a transaction or a batch; 0 before the first.
	LastCommit float64 `json:"last_commit"`
	// Batches written a minute, which is inserts; only of a feed.
	Batches float64 `json:"batches_per_minute,omitempty"`
	// Restored and Rebalanced count tasks read back and assignments since the process began; only of a stage, as the state.
	Restored   float64 `json:"restored_tasks,omitempty"`
	Rebalanced float64 `json:"rebalances,omitempty"`
	StateKeys  float64 `json:"state_keys,omitempty"`
	StateBytes float64 `json:"state_bytes,omitempty"`
}

type partitionLag struct {
	Topic     string  `json:"topic"`
	Partition string  `json:"partition"`
	Lag       float64 `json:"lag"`
}

// groupStatus is a consumer group as Kafka sees it, whoever its members are.
type groupStatus struct {
	Group string `json:"group"`
	Lag   int64  `json:"lag"`
	// Rate of offsets committed.
	Rate float64 `json:"rate"`
	// Largest is the share of the lag in the partition that has most of it.
	Largest   float64 `json:"largest_share"`
	Partition string  `json:"largest_partition,omitempty"`
}

// tableStatus is a table of ClickHouse; see the query status_tables.
type tableStatus struct {
	Table          string  `json:"table"`
	Rows           float64 `json:"rows"`
	Bytes          float64 `json:"bytes"`
	ActiveParts    float64 `json:"active_parts"`
	PartsPerMinute float64 `json:"parts_per_minute"`
}

// observer looks at an installation again and again. A look compares with what start saw.
type observer struct {
	cfg     *Config
	nodes   []string
	scraper *scraper

	admin  *kafka.Admin
	kafka  kafka.Config
	client *clickhouse.Client // nil until ClickHouse has answered

	before map[string]*scrape
	lags   groupLags
	asked  time.Time
}

func newObserver(cfg *Config, nodes []string) *observer {
	return &observer{cfg: cfg, nodes: nodes, scraper: newScraper()}
}

func (o *observer) close() {
	if o.admin != nil {
		o.admin.Close()
	}
	if o.client != nil {
		o.client.Close()
	}
}

// start remembers how everything is, unless a look has just done so.
func (o *observer) start(ctx context.Context) error {
	if o.before == nil {
		o.look(ctx)
	}
	return ctx.Err()
}

// serverTimeout is how long Kafka or ClickHouse may take to answer one look.
const serverTimeout = 5 * time.Second

// look asks everybody at once.
func (o *observer) look(ctx context.Context) installation {
	out := installation{At: time.Now().UTC(), Nodes: []nodeStatus{}, Loops: []loopStatus{}, Groups: []groupStatus{}, Tables: []tableStatus{}, Problems: []string{}}
	if !o.asked.IsZero() {
		out.Interval = out.At.Sub(o.asked).Seconds()
	}
	scrapes := make([]*scrape, len(o.nodes))
	errs := make([]error, len(o.nodes))
	var lags groupLags
	var kafkaErr, clickhouseErr error
	var asking errgroup.Group
	for i, node := range o.nodes {
		asking.Go(func() error {
			scrapes[i], errs[i] = o.scraper.scrape(ctx, node)
			return nil
		})
	}
	asking.Go(func() error {
		lags, kafkaErr = o.groups(ctx)
		return nil
	})
	asking.Go(func() error {
		out.Tables, clickhouseErr = o.tables(ctx)
		return nil
	})
	asking.Wait() // its functions return nil

	now := map[string]*scrape{}
	for i, node := range o.nodes {
		if errs[i] != nil {
			out.Nodes = append(out.Nodes, nodeStatus{Node: node})
			out.Problems = append(out.Problems, fmt.Sprintf("%s does not answer (%v): start it with `droplift up`, `process` or `sink`, or name its --metrics-addr with --node", node, errs[i]))
			continue
		}
		now[node] = scrapes[i]
		status := newNodeStatus(node, o.before[node], scrapes[i])
		out.Nodes = append(out.Nodes, status)
		out.Loops = append(out.Loops, newLoops(status, o.before[node], scrapes[i], o.lags, lags)...)
		if status.Waits != "" {
			out.Problems = append(out.Problems, node+" is not ready: "+status.Waits)
		}
	}
	if kafkaErr != nil {
		out.Problems = append(out.Problems, fmt.Sprintf("Kafka at %s cannot be asked (%v): start it, or name it with --kafka", strings.Join(o.cfg.brokersOrLocal(), ","), kafkaErr))
	} else {
		o.addGroups(&out, lags)
	}
	if clickhouseErr != nil {
		out.Problems = append(out.Problems, fmt.Sprintf("ClickHouse at %s cannot be asked (%v): start it, or name it with --clickhouse", o.cfg.clickhouseOrLocal(), clickhouseErr))
	}
	o.before, o.lags, o.asked = now, lags, out.At
	return out
}

// groupLags are what Kafka says of groups at one moment; nil when it did not answer.
type groupLags map[string][]kafka.Lag

// of is the lag of a topic-partition.
func (g groupLags) of(group, topic, partition string) (lag float64, ok bool) {
	for _, l := range g[group] {
		if l.Topic == topic && strconv.Itoa(int(l.Partition)) == partition {
			return float64(l.Records()), true
		}
	}
	return 0, false
}

func committed(lags []kafka.Lag) (offsets int64) {
	for _, l := range lags {
		offsets += l.Committed
	}
	return offsets
}

// groupTopics are the groups of this configuration and what they read.
func (o *observer) groupTopics() map[string][]event.Kind {
	groups := map[string][]event.Kind{}
	for _, l := range o.cfg.loops() {
		groups[l.group] = l.kinds
	}
	return groups
}

// groups asks Kafka how far the groups are.
func (o *observer) groups(ctx context.Context) (groupLags, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	if o.admin == nil {
		var err error
		if o.kafka, err = o.cfg.kafkaConfig(o.cfg.brokersOrLocal(), nil, slog.New(slog.DiscardHandler)); err != nil {
			return nil, err
		}
		if o.admin, err = kafka.NewAdmin(o.kafka); err != nil {
			return nil, err
		}
	}
	out := groupLags{}
	for group, kinds := range o.groupTopics() {
		lags, err := o.admin.LagOn(ctx, group, o.kafka.Topics(kinds...)...)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no answer within %s", serverTimeout)
		}
		if err != nil {
			return nil, err
		}
		out[group] = lags
	}
	return out, nil
}

// addGroups adds what Kafka says of the groups, and names those that nobody here runs.
func (o *observer) addGroups(to *installation, lags groupLags) {
	for _, group := range sortedKeys(lags) {
		g := groupStatus{Group: group}
		var most int64
		for _, lag := range lags[group] {
			g.Lag += lag.Records()
			if lag.Records() > most {
				most, g.Partition = lag.Records(), fmt.Sprintf("%s/%d", lag.Topic, lag.Partition)
			}
		}
		if g.Lag > 0 {
			g.Largest = float64(most) / float64(g.Lag)
		}
		if before, ok := o.lags[group]; ok && to.Interval > 0 {
			g.Rate = float64(max(0, committed(lags[group])-committed(before))) / to.Interval
		}
		to.Groups = append(to.Groups, g)
		if !slices.ContainsFunc(to.Loops, func(l loopStatus) bool { return l.Group == group }) {
			role := "process"
			if group == o.cfg.SinkGroup {
				role = "sink"
			}
			to.Problems = append(to.Problems, fmt.Sprintf("nobody asked here runs group %s, which is %d records behind: start `droplift %s`, or name its metrics with --node", group, g.Lag, role))
		}
	}
}

// tables asks ClickHouse what it holds.
func (o *observer) tables(ctx context.Context) ([]tableStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	out := []tableStatus{}
	if o.client == nil {
		client, err := o.cfg.openReader(ctx, o.cfg.clickhouseOrLocal(), slog.New(slog.DiscardHandler))
		if err != nil {
			return out, rootCause(err)
		}
		o.client = client
	}
	answer, err := o.client.Query(ctx, "status_tables", nil)
	if err != nil {
		return out, rootCause(err)
	}
	for i := range answer.Rows {
		row := row{answer, i}
		number := func(column string) float64 {
			v, _ := row.number(column)
			return v
		}
		out = append(out, tableStatus{
			Table: row.text("table"), Rows: number("stored_rows"), Bytes: number("bytes"),
			ActiveParts: number("active_parts"), PartsPerMinute: number("parts_per_minute"),
		})
	}
	return out, nil
}

// rootCause is the last line of an error: what went wrong, without everything that was waiting for it.
func rootCause(err error) error {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return errors.New(lines[len(lines)-1])
}

func newNodeStatus(node string, before, now *scrape) nodeStatus {
	return nodeStatus{
		Node: node, Answers: true, Waits: now.waits,
		Cores:      change(before, now, func(s *scrape) float64 { return s.sum("process_cpu_seconds_total") }),
		Processors: now.sum("go_sched_gomaxprocs_threads"), Memory: now.memoryShare(),
		ResidentBytes: now.sum("process_resident_memory_bytes"),
	}
}

// newLoops finds a process's stages and feeds in its metrics.
func newLoops(node nodeStatus, before, now *scrape, lagsBefore, lags groupLags) []loopStatus {
	var out []loopStatus
	for _, group := range now.values("stage", "droplift_stage_seconds_total") {
		l := loopStatus{
			Node: node.Node, Group: group,
			Rate:       change(before, now, func(s *scrape) float64 { return s.sum("droplift_stage_records_in_total", "stage", group) }),
			LastCommit: now.sum("droplift_stage_last_commit_timestamp_seconds", "stage", group),
			Restored:   now.sum("droplift_stage_restores_total", "stage", group),
			Rebalanced: now.sum("droplift_stage_rebalances_total", "stage", group),
			StateKeys:  now.sum("droplift_process_state_keys", "stage", group), StateBytes: now.sum("droplift_process_state_bytes", "stage", group),
		}
		l.measure(node, before, now, loopMetrics{
			seconds: "droplift_stage_seconds_total", lag: "droplift_stage_lag_records", newest: "droplift_stage_committed_record_timestamp_seconds",
			topic: "input", labels: []string{"stage", group}, lagsBefore: lagsBefore, lags: lags,
		})
		out = append(out, l)
	}
	for _, group := range now.values("feed", "droplift_feed_seconds_total") {
		for _, topic := range sortedKeys(now.by("topic", "droplift_feed_seconds_total", "feed", group)) {
			labels := []string{"feed", group, "topic", topic}
			l := loopStatus{
				Node: node.Node, Group: group, Topic: topic,
				Rate:       change(before, now, func(s *scrape) float64 { return s.sum("droplift_feed_records_total", labels...) }),
				Batches:    60 * change(before, now, func(s *scrape) float64 { return s.sum("droplift_feed_batches_total", labels...) }),
				LastCommit: now.sum("droplift_feed_last_write_timestamp_seconds", labels...),
			}
			l.measure(node, before, now, loopMetrics{
				seconds: "droplift_feed_seconds_total", lag: "droplift_feed_lag_records", newest: "droplift_feed_written_record_timestamp_seconds",
				topic: "topic", labels: labels, lagsBefore: lagsBefore, lags: lags,
			})
			out = append(out, l)
		}
	}
	return out
}

// loopMetrics names the metrics of a kind of loop: by which label a series says its topic, and which labels are this
// loop's. Where Kafka answered, its lags count: a process measures its own every few seconds only.
type loopMetrics struct {
	seconds, lag, newest string
	topic                string
	labels               []string
	lagsBefore, lags     groupLags
}

// measure fills in what stages and feeds have in common, and judges.
func (l *loopStatus) measure(node nodeStatus, before, now *scrape, m loopMetrics) {
	place := func(s labelled) partitionLag {
		return partitionLag{Topic: s.labels[m.topic], Partition: s.labels["partition"]}
	}
	newest := map[partitionLag]float64{}
	for _, s := range now.series(m.newest, m.labels...) {
		newest[place(s)] = s.value
	}
	fresh, unknown := 0.0, false
	l.Partitions = []partitionLag{}
	symptoms := symptoms{Rate: l.Rate, Memory: node.Memory, Cores: node.Cores, Processors: node.Processors}
	var lagBefore float64
	byNumber := map[string]float64{}
	for _, s := range now.series(m.lag, m.labels...) {
		p := place(s)
		exact, ok := m.lags.of(l.Group, p.Topic, p.Partition)
		exactBefore, okBefore := m.lagsBefore.of(l.Group, p.Topic, p.Partition)
		if ok && okBefore {
			s.value = exact
			lagBefore += exactBefore
		} else if before != nil {
			lagBefore += before.sum(m.lag, append(slices.Clone(m.labels), m.topic, p.Topic, "partition", p.Partition)...)
		}
		if at, ok := newest[p]; s.value > 0 && ok {
			fresh = max(fresh, float64(now.at.UnixMilli())/1000-at)
		} else if s.value > 0 {
			unknown = true
		}
		p.Lag = s.value
		l.Lag += p.Lag
		l.Partitions = append(l.Partitions, p)
		byNumber[p.Partition] += p.Lag
	}
	slices.SortFunc(l.Partitions, func(a, b partitionLag) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Topic, b.Topic), cmp.Compare(len(a.Partition), len(b.Partition)), cmp.Compare(a.Partition, b.Partition))
	})
	if !unknown {
		l.Stale = &fresh
	}
	symptoms.Lags = slices.Collect(maps.Values(byNumber))
	if l.Lag > 0 {
		l.Skew = slices.Max(symptoms.Lags) * float64(len(symptoms.Lags)) / l.Lag
	}
	if before != nil {
		l.Growth = (l.Lag - lagBefore) / now.at.Sub(before.at).Seconds()
		if l.Lag > 0 && l.Growth < 0 {
			seconds := l.Lag / -l.Growth
			l.Clears = &seconds
		}
	}
	l.Shares = map[string]float64{}
	spent := 0.0
	for on := range now.by("on", m.seconds, m.labels...) {
		seconds := change(before, now, func(s *scrape) float64 { return s.sum(m.seconds, append(slices.Clone(m.labels), "on", on)...) })
		l.Shares[on] = seconds
		spent += seconds
	}
	for on := range l.Shares {
		if spent > 0 {
			l.Shares[on] /= spent
		}
	}
	symptoms.Shares = l.Shares
	if before != nil && spent == 0 {
		symptoms.Away = "it has ended; the process's log says why"
	}
	l.verdict = explain(symptoms)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
