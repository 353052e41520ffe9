package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// rolloutReason is why somebody changes what answers.
type rolloutReason struct {
	Reason string `help:"Why, in words; it is kept with the decision." placeholder:"TEXT"`
}

// maxReason leaves room in a text field of a record for the gates.
const maxReason = 600

func (r *rolloutReason) check() error {
	if len(r.Reason) > maxReason {
		return fmt.Errorf("--reason: %d bytes, at most %d are kept", len(r.Reason), maxReason)
	}
	return nil
}

// decision is one change of what answers, made by a command.
func (c *Config) decision(ctx context.Context, decide func(*modelRegistry) ([]event.Message, error)) error {
	log := c.logger(os.Stderr)
	conf, err := c.kafkaConfig(c.brokersOrLocal(), nil, log)
	if err != nil {
		return err
	}
	return decideOnModels(ctx, conf, log, decide)
}

// ModelPublishCmd puts an artefact where edges find it.
type ModelPublishCmd struct {
	Artefact      string `arg:"" help:"Artefact, as droplift model train or import writes it." type:"existingfile" placeholder:"FILE"`
	NoShadow      bool   `help:"Do not let it score beside the champion."`
	rolloutReason `embed:""`
}

// Help is shown by --help.
func (c *ModelPublishCmd) Help() string {
	return "The artefact is opened first: one that was changed, cut, is of a newer format, was trained on other features or does " +
		"not score its own golden rows is refused with exit code 1. Edges take a published version up without a restart, as the shadow: it " +
		"scores every vector that the champion scores, and answers nothing.\n\n" +
		"Example:\n\n  droplift model publish churn.json --reason 'trained on March'"
}

func (c *ModelPublishCmd) Run(ctx context.Context, cfg *Config) error {
	if err := c.check(); err != nil {
		return err
	}
	file, scorer, err := openArtefact(c.Artefact)
	if err != nil {
		return err
	}
	a, now := scorer.Artefact(), time.Now()
	said := ""
	err = cfg.decision(ctx, func(r *modelRegistry) ([]event.Message, error) {
		var messages []event.Message
		said = "Published " + a.Version
		switch there := r.versions[modelKey{a.Name, a.Version}]; {
		case there == nil:
			messages = append(messages, modelMessage(a, file, now))
		case there.Checksum != a.Checksum:
			return nil, fmt.Errorf("version %s is published already, as another model: a version never changes, train again for a new one", a.Version)
		default:
			said = a.Version + " is published already"
		}
		rollout := r.rollouts[a.Name]
		if c.NoShadow || rollout.Shadow == a.Version || rollout.Champion == a.Version {
			said += "."
			return messages, nil
		}
		said += ", as the shadow."
		rollout.Name, rollout.Shadow, rollout.Action, rollout.At, rollout.Reason = a.Name, a.Version, "shadow", now.UnixMilli(), c.Reason
		return append(messages, rolloutMessage(rollout)), nil
	})
	if err != nil {
		return err
	}
	fmt.Println(said)
	return nil
}

// openArtefact reads and proves a file.
func openArtefact(name string) ([]byte, *scoring.Scorer, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > scoring.MaxBytes {
		return nil, nil, fmt.Errorf("%s is refused (too_large): %w: %d bytes, at most %d are published", name, scoring.ErrTooLarge, info.Size(), scoring.MaxBytes)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is refused (%s): %w", name, refusalOf(err), err)
	}
	return file, scorer, nil
}

// ModelShadowCmd sets the shadow.
type ModelShadowCmd struct {
	Version       string `arg:"" help:"Version that scores beside the champion; none for no shadow." placeholder:"VERSION"`
	Name          string `help:"Model whose shadow none ends." default:"churn"`
	rolloutReason `embed:""`
}

func (c *ModelShadowCmd) Run(ctx context.Context, cfg *Config) error {
	if err := c.check(); err != nil {
		return err
	}
	said := ""
	err := cfg.decision(ctx, func(r *modelRegistry) ([]event.Message, error) {
		name, version := c.Name, ""
		if c.Version != "none" {
			m, err := r.find(c.Version)
			if err != nil {
				return nil, err
			}
			if _, _, err := r.open(m.Name, m.Version); err != nil {
				return nil, err
			}
			name, version = m.Name, m.Version
		}
		rollout := r.rollouts[name]
		if version != "" && version == rollout.Champion {
			return nil, fmt.Errorf("version %s is the champion of model %s: it cannot score beside itself", version, name)
		}
		if rollout.Shadow == version {
			said = "Nothing changed."
			return nil, nil
		}
		said = fmt.Sprintf("The shadow of model %s is %s.", name, cmp.Or(version, "none"))
		rollout.Name, rollout.Shadow, rollout.Action, rollout.At, rollout.Reason = name, version, "shadow", time.Now().UnixMilli(), c.Reason
		return []event.Message{rolloutMessage(rollout)}, nil
	})
	if err != nil {
		return err
	}
	fmt.Println(said)
	return nil
}

// ModelRollbackCmd returns to the champion before.
type ModelRollbackCmd struct {
	Name          string `help:"Model." default:"churn"`
	rolloutReason `embed:""`
}

// Help is shown by --help.
func (c *ModelRollbackCmd) Help() string {
	return "The champion before the last promotion answers again; no gate is asked, because it passed them. What it replaces does not " +
		"become the previous one: a second rollback in a row has nothing to return to.\n\n" +
		"Example:\n\n  droplift model rollback --reason 'scores jumped at 14:00'"
}

func (c *ModelRollbackCmd) Run(ctx context.Context, cfg *Config) error {
	if err := c.check(); err != nil {
		return err
	}
	said := ""
	err := cfg.decision(ctx, func(r *modelRegistry) ([]event.Message, error) {
		rollout, ok := r.rollouts[c.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("nothing was ever rolled out of model %s", c.Name)
		case rollout.Previous == "":
			return nil, fmt.Errorf("model %s has no champion before %s to return to: promote another version", c.Name, cmp.Or(rollout.Champion, "none"))
		}
		if _, _, err := r.open(c.Name, rollout.Previous); err != nil {
			return nil, fmt.Errorf("cannot roll back: %w", err)
		}
		said = fmt.Sprintf("The champion of model %s is %s again, instead of %s.", c.Name, rollout.Previous, rollout.Champion)
		rollout.Champion, rollout.Previous = rollout.Previous, ""
		if rollout.Shadow == rollout.Champion {
			rollout.Shadow = ""
		}
		rollout.Action, rollout.At, rollout.Reason = "rollback", time.Now().UnixMilli(), c.Reason
		return []event.Message{rolloutMessage(rollout)}, nil
	})
	if err != nil {
		return err
	}
	fmt.Println(said)
	return nil
}

// errOvertaken says that what a promotion was judged against is not what answers any more.
var errOvertaken = errors.New("the champion was changed while this one was judged against the one before: look at it with droplift model list, then promote again")

// promote makes version the champion, if the champion is still the one that it was judged against.
func (r *modelRegistry) promote(name, version, judgedAgainst, reason string, at time.Time) ([]event.Message, error) {
	rollout := r.rollouts[name]
	if rollout.Champion != judgedAgainst {
		return nil, fmt.Errorf("%w (it was %s and is %s)", errOvertaken, cmp.Or(judgedAgainst, "none"), cmp.Or(rollout.Champion, "none"))
	}
	rollout.Name, rollout.Previous, rollout.Champion = name, rollout.Champion, version
	if rollout.Shadow == version {
		rollout.Shadow = ""
	}
	rollout.Action, rollout.At, rollout.Reason = "promote", at.UnixMilli(), reason
	return []event.Message{rolloutMessage(rollout)}, nil
}

// registryNow is what the topics say now, for commands that decide nothing.
func (c *Config) registryNow(ctx context.Context) (*modelRegistry, kafka.Config, error) {
	log := c.logger(os.Stderr)
	conf, err := c.kafkaConfig(c.brokersOrLocal(), nil, log)
	if err != nil {
		return nil, conf, err
	}
	registry, err := readModelRegistry(ctx, conf, log)
	return registry, conf, err
}
