// Package timeline is test support for rule packages: text files that tell what
// happens to one partition, line by line, with what comes of it beside and below.
//
//	# A player, a resend and a late event. Times are on 2026-03-02 UTC; +1d12:00:00 is the next noon.
//	drop d1 start=12:00:00 end=+1d12:00:00 basis=gross shares=1:platform=1000,a=9000
//	@12:00:05 player p1 session_start session=s1 id=a
//	@12:00:05 player p1 session_start session=s1 id=a  -> duplicate
//	@12:00:06.250 checkout p1 completed amount=4999 currency=USD drop=d1
//	@12:00:07 score p1 answered model=churn:v1 vector=1,2.5,-1 p=0.25 shadow=v2:0.5 consent=1
//	raw player p1 {"id":                               -> dead_lettered
//	flush 12:00:10 lag=latency
//	  | dead-letter p1 {…}
//	  | features p1 {…}
//	restart
//
// Everything from "->" and every "|" line is expected output, rewritten only by
// -update. An event's id is its line unless given; ingest= sets ingest_time
// (default: the event's time), broker= the record's timestamp. flush commits;
// lag= names inputs that the consumer has not caught up with. restart rebuilds
// the partition from its change-log.
//
// Every file runs three times: as it is; with every transaction rolled back once
// before it is done again; and with a restart after every flush. All must give
// the same. "no restarts" in a file leaves the third out, where idleness, which
// a restart measures anew, is the point.
package timeline

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

var update = flag.Bool("update", false, "rewrite the expected output in timelines")

// Config is what the files are run on.
type Config struct {
	// Processors configures the partition, which has number 7.
	Processors processors.Config
	// Rules makes the rules of a new partition.
	Rules func() []processors.Rule
	// RulesOf makes them in its place where they look drops up: those that the file has declared so far.
	RulesOf func(processors.Catalogue) []processors.Rule
}

func (c Config) rules(drops processors.Catalogue) []processors.Rule {
	if c.RulesOf != nil {
		return c.RulesOf(drops)
	}
	return c.Rules()
}

// Run runs every file that matches pattern as a subtest.
func Run(t *testing.T, pattern string, cfg Config) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no timelines at %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := run(cfg, want, plain)
			if err != nil {
				t.Fatalf("%s:%v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else {
				compare(t, file, got, want)
			}
			for name, mode := range map[string]mode{"aborts": aborts, "restarts": restarts} {
				if mode == restarts && slices.Contains(strings.Split(string(want), "\n"), "no restarts") {
					continue
				}
				t.Run(name, func(t *testing.T) {
					again, err := run(cfg, got, mode)
					if err != nil {
						t.Fatalf("%s:%v", file, err)
					}
					compare(t, file, again, got)
				})
			}
		})
	}
}

func compare(t *testing.T, file string, got, want []byte) {
	t.Helper()
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(end of file)"
		}
		if line(g) != line(w) {
			t.Fatalf("%s:%d: (rewrite with -update)\n got %s\nwant %s", file, i+1, line(g), line(w))
		}
	}
}

type mode int

const (
	plain mode = iota
	aborts
	restarts
)

// runner is one run of one file.
type runner struct {
	cfg       Config
	mode      mode
	catalogue catalogue
	partition *processors.Partition
	log       map[string][]byte
	offset    int64
	records   []event.Record // of the transaction
	outcomes  []event.Outcome
}

type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

func run(cfg Config, text []byte, mode mode) ([]byte, error) {
	r := &runner{cfg: cfg, mode: mode, catalogue: catalogue{}, log: map[string][]byte{}}
	if err := cmp.Or(cfg.Processors.Validate(), processors.ValidateRules(cfg.rules(r.catalogue))); err != nil {
		return nil, err
	}
	r.partition = processors.NewPartition(7, cfg.Processors, r.catalogue, cfg.rules(r.catalogue))
	var out []byte
	input := 0
	for number, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		line, _, _ = strings.Cut(line, "->")
		line = strings.TrimRight(line, " \t")
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), "|") {
			continue
		}
		input++ // counts input lines only, so that -update does not change IDs
		beside, below, err := r.line(input, line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number+1, err)
		}
		out = append(out, line...)
		if beside != "" {
			out = fmt.Appendf(out, "%*s -> %s", max(0, 60-len(line)), "", beside)
		}
		out = append(out, '\n')
		for _, line := range below {
			out = append(append(append(out, "  | "...), line...), '\n')
		}
	}
	return out, nil
}

func (r *runner) line(number int, line string) (beside string, below []string, err error) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") || line == "no restarts" {
		return "", nil, nil
	}
	switch {
	case strings.HasPrefix(words[0], "@"):
		record, err := r.event(number, words)
		if err != nil {
			return "", nil, err
		}
		return r.process(record), nil, nil
	case words[0] == "raw" && len(words) > 3:
		kind := event.KindOf(words[1])
		value := line[strings.Index(line, words[3]):]
		return r.process(event.Record{Kind: kind, Key: []byte(words[2]), Value: []byte(value), Timestamp: base}), nil, nil
	case words[0] == "drop" && len(words) > 1:
		drop, err := parseDrop(words[1:])
		r.catalogue[words[1]] = drop
		return "", nil, err
	case words[0] == "flush" && len(words) > 1:
		below, err := r.flush(words[1:])
		return "", below, err
	case words[0] == "restart":
		return "", nil, r.restart()
	}
	return "", nil, fmt.Errorf("cannot read %q", line)
}

// parseDrop reads a drop's name and its fields, as in start=12:00:00.
func parseDrop(words []string) (*event.Drop, error) {
	drop := &event.Drop{Name: words[0], Version: 1}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "start":
			drop.StartMS, err = ParseTime(value)
		case "end":
			drop.EndMS, err = ParseTime(value)
		case "budget-currency":
			drop.BudgetCurrency = value
		case "cue_latency":
			drop.CueLatencyMS, err = strconv.ParseInt(value, 10, 64)
		case "basis":
			drop.SplitBasis, _ = event.SplitBasisOf(value)
		case "shares":
			var split event.Split
			split, err = parseSplit(value)
			drop.Splits = append(drop.Splits, split)
		default:
			err = fmt.Errorf("a drop has no %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return drop, nil
}

// parseSplit reads "1:platform=1000,a=9000": a version of shares in basis points.
func parseSplit(text string) (s event.Split, err error) {
	version, shares, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(version, 10, 32)
	s.Version = uint32(n)
	for share := range strings.SplitSeq(shares, ",") {
		participant, bps, _ := strings.Cut(share, "=")
		n, wrong := strconv.ParseUint(bps, 10, 32)
		s.Shares, err = append(s.Shares, event.Share{Participant: participant, BPS: uint32(n)}), cmp.Or(err, wrong)
	}
	return s, err
}

func (r *runner) process(record event.Record) string {
	record.Offset = r.offset
	r.offset++
	outcome := r.partition.Process(record)
	r.records, r.outcomes = append(r.records, record), append(r.outcomes, outcome)
	return [...]string{event.Accepted: "", event.Duplicate: "duplicate", event.PastLateness: "late", event.DeadLettered: "dead_lettered"}[outcome]
}

func (r *runner) flush(words []string) ([]string, error) {
	now, err := ParseTime(words[0])
	if err != nil {
		return nil, err
	}
	caughtUp := make([]bool, len(r.cfg.Processors.Inputs))
	for i := range caughtUp {
		caughtUp[i] = !slices.Contains(words[1:], "lag="+r.cfg.Processors.Inputs[i].Topic())
	}
	lines := render(r.partition.Flush(now, caughtUp))
	if r.mode == aborts {
		r.partition.Changes(func(string, []byte) {})
		r.partition.Rollback()
		for i, record := range r.records {
			if outcome := r.partition.Process(record); outcome != r.outcomes[i] {
				return nil, fmt.Errorf("offset %d has outcome %d, and %d after an abort", record.Offset, r.outcomes[i], outcome)
			}
		}
		again := render(r.partition.Flush(now, caughtUp))
		if !slices.Equal(again, lines) {
			return nil, fmt.Errorf("after an abort:\n%s\ninstead of\n%s", strings.Join(again, "\n"), strings.Join(lines, "\n"))
		}
	}
	r.records, r.outcomes = nil, nil
	r.partition.Changes(func(key string, value []byte) { r.log[strings.Clone(key)] = bytes.Clone(value) })
	r.partition.Commit()
	if r.mode == restarts {
		return lines, r.restart()
	}
	return lines, nil
}

// restart restores a new partition from the change-log, in some order.
func (r *runner) restart() error {
	if len(r.records) > 0 {
		return fmt.Errorf("restart with %d records that no flush has committed", len(r.records))
	}
	before := r.partition.Stats()
	r.partition = processors.NewPartition(7, r.cfg.Processors, r.catalogue, r.cfg.rules(r.catalogue))
	keys := slices.Sorted(maps.Keys(r.log))
	rand.New(rand.NewPCG(1, uint64(len(keys)))).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys {
		if err := r.partition.Restore(key, r.log[key]); err != nil {
			return err
		}
	}
	after := r.partition.Stats()
	if before.StateKeys != after.StateKeys || before.StateBytes != after.StateBytes || before.Watermark != after.Watermark {
		return fmt.Errorf("restored %d keys of %d bytes at %s, not %d of %d at %s", after.StateKeys, after.StateBytes, FormatTime(after.Watermark),
			before.StateKeys, before.StateBytes, FormatTime(before.Watermark))
	}
	return nil
}

// event reads "@time kind player type name=value…".
func (r *runner) event(number int, words []string) (event.Record, error) {
	if len(words) < 4 {
		return event.Record{}, fmt.Errorf("an event is @time kind player type name=value…")
	}
	at, err := ParseTime(words[0][1:])
	if err != nil {
		return event.Record{}, err
	}
	var ev event.Event
	ev.Reset(event.KindOf(words[1]))
	ev.EventTime, ev.IngestTime, ev.PlayerID = at, at, words[2]
	for _, t := range ev.Kind.Types() {
		if t.String() == words[3] {
			ev.Type = t
		}
	}
	if ev.Kind == event.KindUnknown || ev.Type == event.TypeUnknown {
		return event.Record{}, fmt.Errorf("no event is a %s %s", words[1], words[3])
	}
	ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, strconv.AppendInt(nil, int64(number), 10))
	ev.Checkout.CheckoutID, ev.Checkout.Currency = "k"+strconv.Itoa(number), "USD"
	ev.Latency.Request = event.RequestSegment
	if ev.Kind == event.KindSubtitle {
		ev.PlayerID, ev.Subtitle.StreamID = "", words[2] // the key of a cue is its stream
		ev.Subtitle.SourceLanguage, ev.Subtitle.TargetLanguage = "en", "en"
	}
	key := words[2]
	record := event.Record{Kind: ev.Kind, Key: []byte(key), Timestamp: at}
	for _, word := range words[4:] {
		name, value, _ := strings.Cut(word, "=")
		if err := set(&ev, &record, name, value); err != nil {
			return record, err
		}
	}
	record.Value = event.Append(nil, &ev)
	return record, nil
}

func set(ev *event.Event, record *event.Record, name, value string) (err error) {
	number := func() (n int64) { n, err = strconv.ParseInt(value, 10, 64); return n }
	instant := func() (at int64) { at, err = ParseTime(value); return at }
	switch name {
	case "id":
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(value))
	case "ingest":
		if ev.IngestTime = 0; value != "" {
			ev.IngestTime = instant()
		}
	case "broker":
		record.Timestamp = instant()
	case "session":
		ev.SessionID = value
	case "drop":
		ev.DropID = value
	case "creator":
		ev.CreatorID = value
	case "pop":
		ev.POP = value
	case "device":
		ev.Device = value
	case "experiment":
		ev.Player.ExperimentID = value
	case "variant":
		ev.Player.Variant = value
	case "consent":
		ev.Consent = uint8(number())
	case "language":
		ev.Language = value
	case "synthetic":
		ev.Synthetic = true
	case "heartbeat":
		ev.Player.HeartbeatMS = number()
	case "ms":
		ev.Latency.MS, err = strconv.ParseFloat(value, 64)
	case "cpu":
		ev.Latency.CPUMS, err = strconv.ParseFloat(value, 64)
	case "egress":
		ev.Latency.EgressBytes = number()
	case "rate":
		ev.SampleRate, err = strconv.ParseFloat(value, 64)
	case "request":
		ev.Latency.Request = event.RequestUnknown
		for q := event.RequestUnknown + 1; q <= event.RequestProbe; q++ {
			if q.String() == value {
				ev.Latency.Request = q
			}
		}
	case "checkout":
		ev.Checkout.CheckoutID = value
	case "amount":
		ev.Checkout.Amount = number()
	case "currency":
		ev.Checkout.Currency = value
	case "seq":
		ev.Checkout.Seq = uint32(number())
	case "tax":
		ev.Checkout.Tax = number()
	case "fee":
		ev.Checkout.Fee = number()
	case "split":
		ev.Checkout.SplitVersion = uint32(number())
	case "channel":
		ev.Checkout.Channel = value
	case "original":
		ev.Checkout.OriginalTime = instant()
	case "sku":
		ev.Checkout.SKU = value
	case "quantity":
		ev.Checkout.Quantity = uint32(number())
	case "partner":
		ev.Checkout.Partner = value
	case "promised":
		ev.Checkout.PromisedBy = instant()
	case "cue":
		ev.Subtitle.CueID = uint64(number())
	case "from":
		ev.Subtitle.SourceLanguage = value
	case "to":
		ev.Subtitle.TargetLanguage = value
	case "speech":
		ev.Subtitle.SpeechStartMS = number()
	case "shown":
		ev.Subtitle.DisplayMS = number()
	case "for":
		ev.Subtitle.OnScreenMS = number()
	case "chars":
		ev.Subtitle.Graphemes = uint32(number())
	case "words":
		ev.Subtitle.Words = uint32(number())
	case "translation":
		ev.Subtitle.TranslationMS = number()
	case "missing":
		ev.Subtitle.Missing = true
	case "model":
		ev.Score.Model, ev.Score.ModelVersion, _ = strings.Cut(value, ":")
	case "hash":
		ev.Score.FeatureHash = value
	case "vector":
		for v := range strings.SplitSeq(value, ",") {
			x, wrong := strconv.ParseFloat(v, 64)
			ev.Score.Vector, err = append(ev.Score.Vector, x), cmp.Or(err, wrong)
		}
	case "p":
		ev.Score.P, err = strconv.ParseFloat(value, 64)
	case "shadow":
		var p string
		ev.Score.ShadowVersion, p, _ = strings.Cut(value, ":")
		ev.Score.ShadowP, err = strconv.ParseFloat(p, 64)
	case "degraded":
		ev.Score.Degraded = value
	case "offer":
		ev.Score.Offer = value
	case "eligible":
		ev.Score.Eligible = true
	case "holdout":
		ev.Score.Holdout = true
	default:
		err = fmt.Errorf("an event has no %q", name)
	}
	return err
}

// base is where times of day begin.
var base = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli()

const dayMS = 24 * 3_600_000

var timeText = regexp.MustCompile(`^(?:([+-]\d+)d)?(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{3}))?)?$`)

// ParseTime reads 12:00, 12:00:05, 12:00:05.250 and +1d12:00:05 as Unix ms.
func ParseTime(text string) (int64, error) {
	m := timeText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is not a time like +1d12:00:05.250", text)
	}
	at := base
	for i, unit := range []int64{dayMS, 3_600_000, 60_000, 1000, 1} {
		if n, err := strconv.ParseInt(m[i+1], 10, 64); err == nil {
			at += n * unit
		}
	}
	return at, nil
}

// FormatTime writes what ParseTime reads.
func FormatTime(ms int64) string {
	t := time.UnixMilli(ms).UTC()
	text := t.Format("15:04:05.000")
	text = strings.TrimSuffix(text, ".000")
	if days := (t.Truncate(24*time.Hour).UnixMilli() - base) / dayMS; days != 0 {
		text = fmt.Sprintf("%+dd%s", days, text)
	}
	return text
}

var (
	unixMS  = regexp.MustCompile(`\b1[0-9]{12}\b`)
	payload = regexp.MustCompile(`,"(key|value)":"[^"]*"`)
)

// render writes messages with their times readable and without the bytes of
// dead letters and late records, which say nothing to a reader.
func render(messages []event.Message) []string {
	var lines []string
	for _, m := range messages {
		value := unixMS.ReplaceAllStringFunc(payload.ReplaceAllString(string(m.Value), ""), func(text string) string {
			ms, _ := strconv.ParseInt(text, 10, 64)
			return FormatTime(ms)
		})
		lines = append(lines, fmt.Sprintf("%s %s %s", m.Kind.Topic(), m.Key, value))
	}
	return lines
}
