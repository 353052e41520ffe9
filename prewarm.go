package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// PrewarmCmd groups what warms the caches before a drop.
type PrewarmCmd struct {
	Plan  PrewarmPlanCmd  `cmd:"" help:"Plan the warming of a drop: which POPs and languages, how many fetches, when, and how many replicas its peak needs."`
	Check PrewarmCheckCmd `cmd:"" help:"Check the canary requests of the ten minutes before a drop: exit code 2 below the hit ratio."`
}

// warming are the flags of both commands.
type warming struct {
	Cover     float64       `help:"Share of the audience whose POPs are warmed." default:"0.95"`
	PerSecond float64       `help:"Edge fetches a second." default:"50"`
	Lead      time.Duration `help:"How long before the drop warming starts." default:"30m"`
	Canary    time.Duration `help:"How long before the drop the canary check runs." default:"5m"`
	ScaleUp   time.Duration `help:"How long before the drop replicas stand at the whole forecast." default:"15m"`
	Hits      float64       `help:"Hit ratio that the canary must reach." default:"0.99"`
	Spare     time.Duration `help:"How much longer than the lead objects live." default:"1h"`
	Jitter    float64       `help:"By which share the lives of objects differ, either way." default:"0.1"`
	Earlier   uint32        `help:"How many of the creator's earlier drops the audience is measured on." default:"3"`
	Format    string        `help:"Output: ${enum}." enum:"table,json" default:"table"`
}

func (w *warming) rules() (edgebudget.Warming, error) {
	rules := edgebudget.Warming{
		CoverBPS: uint32(w.Cover*10_000 + 0.5), PerSecond: w.PerSecond, LeadMS: w.Lead.Milliseconds(), CanaryMS: w.Canary.Milliseconds(), ScaleMS: w.ScaleUp.Milliseconds(),
		CanaryHits: w.Hits, SpareMS: w.Spare.Milliseconds(), JitterBPS: int64(w.Jitter*10_000 + 0.5),
	}.WithDefaults()
	return rules, rules.Validate()
}

// PrewarmPlanCmd plans.
type PrewarmPlanCmd struct {
	Drop string `arg:"" help:"Drop id." placeholder:"DROP"`
	warming
	Variants int     `help:"Page variants; 0 counts the variants of the drop's experiments." default:"0"`
	Objects  int     `help:"Objects a page needs; 0 counts a page and one for each item." default:"0"`
	Headroom float64 `help:"Factor on the peak that the creator's last drop predicts." default:"1.5"`
}

func (c *PrewarmPlanCmd) Run(ctx context.Context, cfg *Config) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := c.plan(ctx, cfg, client, rules)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return writeJSON(os.Stdout, plan)
	}
	return plan.print(os.Stdout)
}

// prewarmPlan is a plan as it is printed. Times are UTC.
type prewarmPlan struct {
	Drop      string   `json:"drop"`
	Creator   string   `json:"creator"`
	Starts    instant  `json:"starts"`
	POPs      []string `json:"pops"`
	Languages []string `json:"languages"`
	Variants  int      `json:"variants"`
	Objects   int      `json:"objects"`
	// LeftOut are the POPs beyond the covered share, which fill on their first misses.
	LeftOut []string `json:"left_out"`

	EdgeFetches       int     `json:"edge_fetches"`
	OriginFetches     int     `json:"origin_fetches"`
	UnshieldedFetches int     `json:"origin_fetches_without_shield"`
	DurationS         float64 `json:"duration_s"`
	WarmFrom          instant `json:"warm_from"`
	Early             bool    `json:"earlier_than_lead"`
	CanaryAt          instant `json:"canary_at"`
	CanaryHits        float64 `json:"canary_hits"`
	TTLS              int64   `json:"ttl_s"`
	TTLLowS           int64   `json:"ttl_low_s"`
	TTLHighS          int64   `json:"ttl_high_s"`

	ScaledBy instant `json:"scaled_by"`
	// PeakPerS and Replicas are 0 where no earlier drop and followers predict them; Why says what is missing.
	PeakPerS float64 `json:"peak_per_s"`
	Replicas int64   `json:"replicas"`
	Why      string  `json:"why,omitempty"`
}

func (c *PrewarmPlanCmd) plan(ctx context.Context, cfg *Config, client *clickhouse.Client, rules edgebudget.Warming) (*prewarmPlan, error) {
	drop, err := lookUpDrop(ctx, client, c.Drop)
	if err != nil {
		return nil, err
	}
	audience, err := measureAudience(ctx, client, drop, c.Earlier)
	if err != nil {
		return nil, err
	}
	pops, rest := edgebudget.Cover(audience["pop"], rules.CoverBPS)
	languages, _ := edgebudget.Cover(audience["language"], 10_000)
	if len(pops) == 0 || len(languages) == 0 {
		return nil, fmt.Errorf("creator %q has no earlier drop whose audience names POPs and languages: there is nothing to plan by", drop.creator)
	}
	p := &prewarmPlan{Drop: c.Drop, Creator: drop.creator, Starts: instant(drop.starts), POPs: namesOf(pops), Languages: namesOf(languages), LeftOut: namesOf(rest),
		Variants: c.Variants, Objects: c.Objects, CanaryHits: rules.CanaryHits}
	if p.Variants == 0 {
		p.Variants = drop.variants
	}
	if p.Objects == 0 {
		p.Objects = drop.objects
	}
	w := rules.Plan(edgebudget.WarmSet{POPs: len(pops), Languages: len(languages), Variants: p.Variants, Objects: p.Objects}, drop.starts)
	p.EdgeFetches, p.OriginFetches, p.UnshieldedFetches, p.DurationS = w.EdgeFetches, w.OriginFetches, w.UnshieldedFetches, float64(w.DurationMS)/1000
	p.WarmFrom, p.Early, p.CanaryAt, p.ScaledBy = instant(w.StartMS), w.Early, instant(w.CanaryMS), instant(w.ScaleMS)
	p.TTLS, p.TTLLowS, p.TTLHighS = w.TTLMS/1000, w.TTLLowMS/1000, w.TTLHighMS/1000
	return p, c.size(ctx, cfg, client, drop, p)
}

// size predicts the peak from the creator's last drop, per follower, and the replicas that it needs.
func (c *PrewarmPlanCmd) size(ctx context.Context, cfg *Config, client *clickhouse.Client, drop plannedDrop, p *prewarmPlan) error {
	data, err := client.Query(ctx, "prewarm_peak", clickhouse.Params{"creator": drop.creator, "before": time.UnixMilli(drop.starts).UTC()})
	if err != nil {
		return err
	}
	if len(data.Rows) == 0 {
		p.Why = "no earlier drop of the creator has edge cost"
		return nil
	}
	last := row{data, 0}
	followers, _ := last.number("followers")
	peak, _ := last.number("peak_per_s")
	seconds, _ := last.number("cpu_s")
	predicted, ok := edgebudget.Peak(peak, uint64(followers), drop.followers, c.Headroom)
	if !ok {
		p.Why = "the catalogue does not know the followers of this drop and of " + last.text("drop")
		return nil
	}
	p.PeakPerS = predicted
	p.Replicas = max(cfg.EdgeReplicasMin, edgebudget.Capacity(predicted, seconds, cfg.EdgeReplicaUtilisation, cfg.EdgeReplicaCores))
	return nil
}

func (p *prewarmPlan) print(w io.Writer) error {
	fmt.Fprintf(w, "\nDrop %s of %s starts %s\n\n", p.Drop, p.Creator, p.Starts)
	t := newTable("what", "")
	line := func(what string, value any) { t.AppendRow(table.Row{what, value}) }
	line("POPs", fmt.Sprintf("%d: %s", len(p.POPs), strings.Join(p.POPs, " ")))
	if len(p.LeftOut) > 0 {
		line("POPs left out", fmt.Sprintf("%d: %s", len(p.LeftOut), strings.Join(p.LeftOut, " ")))
	}
	line("languages", fmt.Sprintf("%d: %s", len(p.Languages), strings.Join(p.Languages, " ")))
	line("variants × objects", fmt.Sprintf("%d × %d", p.Variants, p.Objects))
	line("edge fetches", p.EdgeFetches)
	line("origin fetches", fmt.Sprintf("%d with a shield, %d without", p.OriginFetches, p.UnshieldedFetches))
	from := p.WarmFrom.String()
	if p.Early {
		from += " (earlier than the lead: the fetches take longer)"
	}
	line("warm from", from)
	line("takes", time.Duration(p.DurationS*float64(time.Second)))
	line("live for", fmt.Sprintf("%ds, jittered from %ds to %ds", p.TTLS, p.TTLLowS, p.TTLHighS))
	if p.Why == "" {
		line("replicas by "+p.ScaledBy.String(), fmt.Sprintf("%d for %.0f requests/s", p.Replicas, p.PeakPerS))
	} else {
		line("replicas", p.Why)
	}
	line("canary check", fmt.Sprintf("%s, at least %.4g %% hits, else page", p.CanaryAt, 100*p.CanaryHits))
	_, err := fmt.Fprintf(w, "%s\n", indent(t.Render()))
	return err
}

// PrewarmCheckCmd checks the canary.
type PrewarmCheckCmd struct {
	Drop string `arg:"" help:"Drop id." placeholder:"DROP"`
	warming
}

// exitPage is the exit code of a check that failed: page somebody.
const exitPage = 2

func (c *PrewarmCheckCmd) Run(ctx context.Context, cfg *Config) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	return c.check(ctx, os.Stdout, client, rules)
}

func (c *PrewarmCheckCmd) check(ctx context.Context, w io.Writer, client *clickhouse.Client, rules edgebudget.Warming) error {
	drop, err := lookUpDrop(ctx, client, c.Drop)
	if err != nil {
		return err
	}
	audience, err := measureAudience(ctx, client, drop, c.Earlier)
	if err != nil {
		return err
	}
	planned, _ := edgebudget.Cover(audience["pop"], rules.CoverBPS)
	data, err := client.Query(ctx, "prewarm_canary", clickhouse.Params{"drop": c.Drop})
	if err != nil {
		return err
	}
	probes := make([]edgebudget.Probes, len(data.Rows))
	for i := range data.Rows {
		row := row{data, i}
		hits, _ := row.number("hits")
		sent, _ := row.number("sent")
		probes[i] = edgebudget.Probes{POP: row.text("pop"), Hits: uint64(hits), Sent: uint64(sent)}
	}
	result := rules.Canary(namesOf(planned), probes)
	if c.Format == "json" {
		err = writeJSON(w, result)
	} else {
		t := newTable("POP", "hits", "probes")
		for _, p := range probes {
			t.AppendRow(table.Row{p.POP, p.Hits, p.Sent})
		}
		t.AppendFooter(table.Row{"all", result.Hits, result.Sent})
		_, err = fmt.Fprintf(w, "%s\n", indent(t.Render()))
	}
	if err != nil || result.Pass {
		return err
	}
	reasons := []error{fmt.Errorf("canary of drop %s: %.2f %% hits, %.4g %% are needed", c.Drop, 100*result.Ratio, 100*rules.CanaryHits)}
	if len(result.Cold) > 0 {
		reasons = append(reasons, fmt.Errorf("cold POPs: %s", strings.Join(result.Cold, " ")))
	}
	if len(result.Silent) > 0 {
		reasons = append(reasons, fmt.Errorf("planned POPs without a probe: %s", strings.Join(result.Silent, " ")))
	}
	return &exitError{exitPage, errors.Join(reasons...)}
}

// plannedDrop is a drop's catalogue entry.
type plannedDrop struct {
	creator           string
	starts            int64
	followers         uint64
	variants, objects int
}

func lookUpDrop(ctx context.Context, client *clickhouse.Client, id string) (d plannedDrop, err error) {
	data, err := client.Query(ctx, "prewarm_drop", clickhouse.Params{"drop": id})
	if err != nil {
		return d, err
	}
	if len(data.Rows) == 0 {
		return d, fmt.Errorf("drop %q is not in the catalogue", id)
	}
	entry := row{data, 0}
	d.creator = entry.text("creator")
	starts, _ := entry.number("starts_ms")
	followers, _ := entry.number("followers")
	variants, _ := entry.number("variants")
	objects, _ := entry.number("objects")
	d.starts, d.followers, d.variants, d.objects = int64(starts), uint64(followers), int(variants), int(objects)
	return d, nil
}

// measureAudience says who came to the creator's earlier drops, by part: pop and language.
func measureAudience(ctx context.Context, client *clickhouse.Client, drop plannedDrop, earlier uint32) (map[string][]edgebudget.Audience, error) {
	data, err := client.Query(ctx, "prewarm_audience", clickhouse.Params{
		"creator": drop.creator, "before": time.UnixMilli(drop.starts).UTC(), "drops": strconv.FormatUint(uint64(earlier), 10)})
	if err != nil {
		return nil, err
	}
	by := map[string][]edgebudget.Audience{}
	for i := range data.Rows {
		row := row{data, i}
		players, _ := row.number("players")
		by[row.text("part")] = append(by[row.text("part")], edgebudget.Audience{Name: row.text("name"), Size: uint64(players)})
	}
	return by, nil
}

func namesOf(parts []edgebudget.Audience) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return names
}
