package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/processors/localization"
)

// SubtitleConfig are the objectives for subtitles (DOMAIN 7.2 and 7.3).
type SubtitleConfig struct {
	CueTarget        float64       `group:"subtitles" help:"Share of cues that must be good: shown in time, long enough and not too fast to read." default:"0.95"`
	CueLatency       time.Duration `group:"subtitles" help:"Latest display of a good cue after its speech began, on the media timeline; a drop's cue_latency_ms goes before it." default:"5s"`
	CueLatencyCap    time.Duration `group:"subtitles" help:"What latencies are cut at and missing cues have; also how long a translation may take before its cue counts as missing. Under --allowed-lateness." default:"60s"`
	CueMeanLatency   time.Duration `group:"subtitles" help:"Objective for the mean latency of subtitles in the language spoken." default:"4.5s"`
	CueTranslation   time.Duration `group:"subtitles" help:"Objective for the 95th percentile of translation times." default:"1.5s"`
	CueOnScreenMin   time.Duration `group:"subtitles" help:"Shortest time on screen of a good cue." default:"833ms"`
	CueOnScreenMax   time.Duration `group:"subtitles" help:"Longest time on screen of a good cue." default:"7s"`
	CueCPS           float64       `name:"cue-cps" group:"subtitles" help:"Most graphemes a second of a good cue, spaces included." default:"20"`
	CueCPSStretch    float64       `name:"cue-cps-stretch" group:"subtitles" help:"The stricter reading speed that is counted beside it." default:"17"`
	CueCPSWide       float64       `name:"cue-cps-wide" group:"subtitles" help:"Most graphemes a second in --cue-wide-languages. There is no standard: set it to your style guide's." default:"12"`
	CueWPM           float64       `name:"cue-wpm" group:"subtitles" help:"Most words a minute of a good cue, except in --cue-wide-languages." default:"180"`
	CueEarly         time.Duration `group:"subtitles" help:"How long before its speech a cue may appear; earlier ones are bad." default:"500ms"`
	CueWideLanguages []string      `group:"subtitles" help:"Languages without spaces between words (BCP 47, without region)." default:"ja,ko,yue,zh"`
	CueLanguages     []string      `group:"subtitles" help:"Languages that every stream has from its first cue on. Others are expected from their own first cue on." placeholder:"LANGUAGE"`
	CueBurnWindows   []string      `group:"subtitles" help:"Burn-rate windows as SEVERITY:LONG:FRACTION: page or ticket when that fraction of the drop's error budget burns within the long window, and still in a twelfth of it. Lengths are for drops of 24 to 48 hours; shorter and longer drops scale them. A factor that can never be reached is refused." default:"page:15m:0.05,page:1h:0.1,ticket:6h:0.25"`
	CueMinimum       uint64        `group:"subtitles" help:"Cues that a long window needs; languages with fewer are judged together." default:"50"`
	CueSilence       time.Duration `group:"subtitles" help:"Time without a cue that is announced as no data. Under --allowed-lateness." default:"5m"`
}

// localization is the configuration of the first stage, objectives the one of the rollup; rules are read before.
func (c *SubtitleConfig) localization(log *slog.Logger) localization.Config {
	return localization.Config{
		LatencyMS: c.CueLatency.Milliseconds(), CapMS: c.CueLatencyCap.Milliseconds(),
		MinShownMS: c.CueOnScreenMin.Milliseconds(), MaxShownMS: c.CueOnScreenMax.Milliseconds(),
		CPS: c.CueCPS, StretchCPS: c.CueCPSStretch, WideCPS: c.CueCPSWide, WPM: c.CueWPM, EarlyMS: c.CueEarly.Milliseconds(),
		Wide: c.CueWideLanguages, Languages: c.CueLanguages, Logger: log,
	}
}

func (c *SubtitleConfig) objectives(log *slog.Logger) (localization.ObjectivesConfig, error) {
	cfg := localization.ObjectivesConfig{
		Target: c.CueTarget, MinValid: c.CueMinimum, SilenceMS: c.CueSilence.Milliseconds(), SettleMS: c.CueLatencyCap.Milliseconds(),
		LatencyMS: c.CueLatency.Milliseconds(), MeanMS: c.CueMeanLatency.Milliseconds(), TranslationMS: c.CueTranslation.Milliseconds(), Logger: log,
	}
	var problems []error
	for _, text := range c.CueBurnWindows {
		rule, err := slo.ParseRule(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("--cue-burn-windows: %w", err))
			continue
		}
		cfg.Rules = append(cfg.Rules, rule)
	}
	return cfg, errors.Join(problems...)
}

// validate reports every problem at once. lateness is --allowed-lateness.
func (c *SubtitleConfig) validate(lateness time.Duration) error {
	problems := []error{c.localization(nil).Validate()}
	objectives, err := c.objectives(nil)
	problems = append(problems, err, objectives.Validate())
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"cue-latency-cap", c.CueLatencyCap}, {"cue-silence", c.CueSilence}} {
		if d.value >= lateness && lateness > 0 {
			problems = append(problems, fmt.Errorf("--%s: %s is not under --allowed-lateness (%s): numbers would be final before it has passed", d.flag, d.value, lateness))
		}
	}
	return errors.Join(problems...)
}
