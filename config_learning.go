package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/droplift/droplift/processors/learning"
)

// LearningConfig is how scores are joined to what became of the player, and how models learn from it.
type LearningConfig struct {
	LabelEmbargo  time.Duration `group:"models" help:"Time after a score before its label begins to look for sessions. 0 means --allowed-lateness, which is right unless features are later still." default:"0s"`
	LabelHorizon  time.Duration `group:"models" help:"A player has churned who starts no session for this long after the embargo. Scores wait for their label in the processors' state, about 400 bytes each." default:"336h"`
	LabelActive   time.Duration `group:"models" help:"Players who were absent for longer before a score have left already: they make no example." default:"672h"`
	OutcomeWindow time.Duration `group:"models" help:"How long after a score a completed checkout counts as its conversion." default:"24h"`
	ExampleEvery  time.Duration `group:"models" help:"Of a model's scores of a player within one interval of this length one makes an example." default:"24h"`

	LearnModels       []string      `group:"models" help:"Models whose examples the stream learns from." default:"churn" placeholder:"NAME"`
	LearnRate         float64       `group:"models" help:"α of FTRL-proximal: how fast weights move." default:"0.1"`
	LearnL1           float64       `group:"models" help:"λ1: how much evidence a feature needs for a weight at all." default:"0.001"`
	LearnL2           float64       `group:"models" help:"λ2: how strongly weights are drawn to 0." default:"0.1"`
	LearnWarmUp       int           `group:"models" help:"Examples that fix how features are scaled before learning begins with them." default:"500"`
	LearnKeep         int           `group:"models" help:"Newest examples that a candidate's metrics and references are from." default:"2000"`
	CandidateEvery    uint64        `group:"models" help:"Examples between two candidates of a model that learns in the stream. Candidates are published, never promoted." default:"1000"`
	CandidateInterval time.Duration `group:"models" help:"Event time after which a candidate is published with fewer examples." default:"24h"`
	ValidationWindow  time.Duration `group:"models" help:"Event time that one published validation of answers is about." default:"24h"`
}

// labels is the configuration of the first stage, learner the one of the rollup.
func (c *LearningConfig) labels(lateness time.Duration) learning.Config {
	return learning.Config{
		EmbargoMS: cmp.Or(c.LabelEmbargo, lateness).Milliseconds(), HorizonMS: c.LabelHorizon.Milliseconds(), ActiveMS: c.LabelActive.Milliseconds(),
		OutcomeMS: c.OutcomeWindow.Milliseconds(), EveryMS: c.ExampleEvery.Milliseconds(),
	}
}

func (c *LearningConfig) learner() learning.LearnerConfig {
	return learning.LearnerConfig{
		Models: c.LearnModels, Alpha: c.LearnRate, L1: orNone(c.LearnL1), L2: orNone(c.LearnL2), WarmUp: c.LearnWarmUp, Keep: c.LearnKeep,
		Every: c.CandidateEvery, EveryMS: c.CandidateInterval.Milliseconds(), WindowMS: c.ValidationWindow.Milliseconds(),
	}
}

// validate reports every problem at once. 0 would mean a default of the packages that is not what was said.
func (c *LearningConfig) validate(lateness time.Duration) error {
	problems := []error{c.labels(lateness).Validate(), c.learner().Validate()}
	for _, d := range []struct {
		flag string
		d    time.Duration
	}{
		{"label-horizon", c.LabelHorizon}, {"label-active", c.LabelActive}, {"outcome-window", c.OutcomeWindow}, {"example-every", c.ExampleEvery},
		{"candidate-interval", c.CandidateInterval}, {"validation-window", c.ValidationWindow},
	} {
		if d.d < time.Millisecond {
			problems = append(problems, fmt.Errorf("--%s: %s is not positive", d.flag, d.d))
		}
	}
	if c.CandidateEvery == 0 || c.LearnWarmUp == 0 || c.LearnKeep == 0 {
		problems = append(problems, errors.New("--candidate-every, --learn-warm-up and --learn-keep: none may be 0"))
	}
	if !(c.LearnRate > 0 && c.LearnL1 >= 0 && c.LearnL2 >= 0) {
		problems = append(problems, fmt.Errorf("--learn-rate %v, --learn-l1 %v, --learn-l2 %v: the first must be positive, the others not negative", c.LearnRate, c.LearnL1, c.LearnL2))
	}
	return errors.Join(problems...)
}
