package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// DeadLetterCmd groups what can be done about dead letters.
type DeadLetterCmd struct {
	List   DeadLetterListCmd   `cmd:"" help:"List dead letters, or count them by topic, class and field (--summary)."`
	Show   DeadLetterShowCmd   `cmd:"" help:"Show dead letters whole, with the offending field marked."`
	Replay DeadLetterReplayCmd `cmd:"" help:"Give records back to the topics they came from, mended by a mapping or as they are."`
}

// DeadLetterListCmd lists dead letters.
type DeadLetterListCmd struct {
	DeadLetterSelection `embed:""`
	Summary             bool `help:"Count by topic, class and field."`
	JSON                bool `name:"json" help:"Print one JSON object per line." xor:"form"`
	CSV                 bool `name:"csv" help:"Print CSV." xor:"form"`
}

// Help is shown by --help.
func (c *DeadLetterListCmd) Help() string {
	return "Reads the dead-letter topic in Kafka; ClickHouse is not needed. The newest come last.\n\n" +
		"Examples:\n\n  droplift deadletter list --summary --since 24h\n" +
		"  droplift deadletter list --topic checkout --class amount_precision --limit 20"
}

// listedLetter is one dead letter in a list.
type listedLetter struct {
	Time     time.Time `json:"time"`
	Topic    string    `json:"topic"`
	Place    string    `json:"place"`
	Class    string    `json:"class"`
	Field    string    `json:"field"`
	Bytes    int       `json:"bytes"`
	Attempt  int       `json:"attempt"`
	First    string    `json:"first,omitempty"`
	Replayed string    `json:"replayed,omitempty"`
}

// letterGroup counts dead letters that are alike.
type letterGroup struct {
	Topic    string    `json:"topic"`
	Class    string    `json:"class"`
	Field    string    `json:"field"`
	Count    int64     `json:"count"`
	Replayed int64     `json:"replayed"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

func (c *DeadLetterListCmd) Run(ctx context.Context, cfg *Config) error {
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	given, err := kafka.ReadRedeliveries(ctx, conf)
	if err != nil {
		return err
	}
	if c.Summary {
		return c.summary(ctx, conf, filter, given)
	}
	var letters []listedLetter
	err = filter.read(ctx, conf, "dead letters", func(l *event.DeadLetter) error {
		letters = append(letters, list(l, given))
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(letters, func(a, b listedLetter) int { return a.Time.Compare(b.Time) })
	if c.Limit > 0 && len(letters) > c.Limit {
		letters = letters[len(letters)-c.Limit:]
	}
	t := newTable("place", "time", "class", "field", "bytes", "attempt", "replayed to")
	for _, l := range letters {
		t.AppendRow(table.Row{l.Place, utc(l.Time), l.Class, l.Field, l.Bytes, l.Attempt, l.Replayed})
	}
	return c.print(t, len(letters), func(i int) any { return letters[i] })
}

// list is what a list says of a letter.
func list(l *event.DeadLetter, given *kafka.Redeliveries) listedLetter {
	place := placeOf(l)
	listed := listedLetter{
		Time: time.UnixMilli(l.Timestamp).UTC(), Topic: l.Topic, Place: place.String(),
		Class: l.Class.String(), Field: strings.Clone(l.Field), Bytes: len(l.Value), Attempt: 1,
	}
	if before, ok := given.Before(place); ok {
		listed.Attempt, listed.First = before.Attempt+1, before.First
	}
	if d, ok := given.Of(place); ok {
		listed.Replayed = kafka.Place{Kind: place.Kind, Partition: place.Partition, Offset: d.To}.String()
	}
	return listed
}

func (c *DeadLetterListCmd) summary(ctx context.Context, conf kafka.Config, filter *letterFilter, given *kafka.Redeliveries) error {
	type alike struct {
		kind  event.Kind
		class event.Reason
		field string
	}
	counts := map[alike]*letterGroup{}
	n := 0
	err := filter.read(ctx, conf, "dead letters", func(l *event.DeadLetter) error {
		key := alike{event.KindOf(l.Topic), l.Class, strings.Clone(l.Field)}
		g, at := counts[key], time.UnixMilli(l.Timestamp).UTC()
		if g == nil {
			g = &letterGroup{Topic: l.Topic, Class: l.Class.String(), Field: key.field, First: at, Last: at}
			counts[key] = g
		}
		g.Count++
		if _, ok := given.Of(placeOf(l)); ok {
			g.Replayed++
		}
		if at.Before(g.First) {
			g.First = at
		}
		if at.After(g.Last) {
			g.Last = at
		}
		if n++; n == c.Limit {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	var groups []*letterGroup
	for _, g := range counts {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *letterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Field, b.Field))
	})
	t := newTable("topic", "class", "field", "count", "replayed", "first", "last")
	for _, g := range groups {
		t.AppendRow(table.Row{g.Topic, g.Class, g.Field, g.Count, g.Replayed, utc(g.First), utc(g.Last)})
	}
	return c.print(t, len(groups), func(i int) any { return groups[i] })
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// print prints the rows in the form that was asked for.
func (c *DeadLetterListCmd) print(t table.Writer, rows int, row func(int) any) error {
	switch {
	case c.JSON:
		out := json.NewEncoder(os.Stdout)
		for i := range rows {
			if err := out.Encode(row(i)); err != nil {
				return err
			}
		}
	case c.CSV:
		fmt.Println(t.RenderCSV())
	case rows == 0:
		fmt.Println("No dead letters.")
	default:
		fmt.Println(t.Render())
	}
	return nil
}

// DeadLetterShowCmd shows dead letters whole.
type DeadLetterShowCmd struct {
	Place               string `arg:"" optional:"" help:"Place of one record, as list prints it: TOPIC/PARTITION/OFFSET." placeholder:"PLACE"`
	DeadLetterSelection `embed:""`
}

// Help is shown by --help.
func (c *DeadLetterShowCmd) Help() string {
	return "Shows what arrived, why it was refused, and what today's processors would make of it.\n\n" +
		"Examples:\n\n  droplift deadletter show checkout/2/1041\n" +
		"  droplift deadletter show --class wrong_type --limit 3"
}

func (c *DeadLetterShowCmd) Run(ctx context.Context, cfg *Config) error {
	if c.Place != "" {
		place, err := kafka.ParsePlace(c.Place)
		if err != nil {
			return err
		}
		c.Topic, c.Partition, c.Offset = []string{place.Kind.Topic()}, &place.Partition, fmt.Sprint(place.Offset)
	}
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	given, err := kafka.ReadRedeliveries(ctx, conf)
	if err != nil {
		return err
	}
	judge, err := newJudge(ctx, cfg, conf)
	if err != nil {
		return err
	}
	shown := 0
	var out bytes.Buffer
	err = filter.read(ctx, conf, "dead letters", func(l *event.DeadLetter) error {
		show(&out, l, given, judge)
		if shown++; shown == c.Limit || c.Place != "" {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	if shown == 0 {
		return errors.New("no such dead letter is in Kafka; droplift deadletter list shows which are")
	}
	_, err = out.WriteTo(os.Stdout)
	return err
}

// show prints one dead letter whole.
func show(w io.Writer, l *event.DeadLetter, given *kafka.Redeliveries, judge *judge) {
	listed := list(l, given)
	line := func(name, value string) { fmt.Fprintf(w, "%-9s %s\n", name, value) }
	line("place", listed.Place)
	line("arrived", utc(listed.Time)+" UTC")
	line("class", listed.Class)
	if l.Field != "" {
		line("field", l.Field)
	}
	verdict := judge.of(placeOf(l).Kind, l.Key, l.Value)
	line("message", message(l))
	line("today", verdict.String())
	if listed.Attempt > 1 {
		line("attempt", fmt.Sprintf("%d, first seen at %s", listed.Attempt, listed.First))
	}
	if listed.Replayed != "" {
		line("replayed", "to "+listed.Replayed)
	}
	line("key", printable(l.Key))
	fmt.Fprintf(w, "value     %d bytes\n%s\n\n", len(l.Value), indent(marked(l.Value, l.Field, listed.Class)))
}

// message says what the class means for this record.
func message(l *event.DeadLetter) string {
	field := l.Field
	if field == "" {
		field = "the record"
	}
	what := map[event.Reason]string{
		event.ReasonMalformed:       "is not one JSON object",
		event.ReasonWrongType:       "holds a value of another JSON type",
		event.ReasonMissingField:    "is required, and absent or empty",
		event.ReasonUnknownType:     "is none of the topic's types",
		event.ReasonUnknownEnum:     "is none of the known values",
		event.ReasonOutOfRange:      "is outside its range",
		event.ReasonBadID:           "is no UUID",
		event.ReasonUnknownCurrency: "is no ISO 4217 currency in force",
		event.ReasonAmountPrecision: "is finer than its currency's minor unit",
		event.ReasonSplitShares:     "does not sum to 10,000 basis points",
		event.ReasonDropTimes:       "ends before it starts",
		event.ReasonTooLarge:        fmt.Sprintf("is over %d bytes; the value below is cut", event.MaxRecordBytes),
		event.ReasonUnknownDrop:     "is not in the catalogue",
		event.ReasonClock:           "is too far from the time of arrival",
		event.ReasonTooLong:         fmt.Sprintf("is over %d bytes", event.MaxTextBytes),
	}[l.Class]
	return field + " " + what
}

// marked is the value for reading: JSON laid out with the offending field's lines marked, other text as it is, and
// bytes as a dump.
func marked(value []byte, field, class string) string {
	var out bytes.Buffer
	if json.Indent(&out, value, "", "  ") != nil {
		return printable(value)
	}
	lines := strings.Split(out.String(), "\n")
	found := field == ""
	for i, text := range lines {
		if field != "" && strings.HasPrefix(strings.TrimLeft(text, " "), `"`+field+`":`) {
			lines[i] += "   <-- " + class
			found = true
		}
	}
	if !found {
		lines = append(lines, fmt.Sprintf("(no %q)   <-- %s", field, class))
	}
	return strings.Join(lines, "\n")
}

// printable is text as it is, unless a terminal might take some of it for commands.
func printable(b []byte) string {
	plain := utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
	if plain {
		return string(b)
	}
	return strings.TrimSuffix(hex.Dump(b[:min(len(b), 1024)]), "\n")
}
