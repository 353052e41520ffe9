package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/models/offer"
	"github.com/droplift/droplift/models/prefetch"
	"github.com/droplift/droplift/sinks/features/edge"
)

// DecideConfig is how the edge decides.
type DecideConfig struct {
	DecideDeadline      time.Duration `group:"decide" help:"Time that POST /v1/decide has where a request names none (X-Deadline-Ms, X-Deadline-At). What is not known by then is answered with the base rate and no offer." default:"50ms"`
	DecideModel         string        `group:"decide" help:"Model that answers: the name under which versions are published and promoted." default:"churn"`
	DecideBaseRate      float64       `group:"decide" help:"Probability that is answered before any model was promoted; afterwards it is that of the champion's training rows." default:"0.5"`
	DecideQueue         int           `group:"decide" help:"Answers whose score record may wait for Kafka; more are counted and lost." default:"8192"`
	DecidePrefetch      int           `group:"decide" help:"Assets that an answer names for prefetching at the most." default:"5"`
	DecidePrefetchBytes int64         `group:"decide" help:"Bytes that they may come to." default:"10000000"`

	Offers      string `group:"decide" help:"YAML file of micro-offers: what is let off on which items, and on what budget; deploy/offers.yaml is an example. Without it nothing is offered." placeholder:"FILE"`
	EdgeHoldout uint32 `group:"decide" help:"Share of players, in basis points, who never get an offer, so that what offers cause stays measurable." default:"1000"`
	EdgeSalt    string `group:"decide" help:"Salt by which players are held out and offers drawn. Another one deals the players anew, and what was measured ends." default:"offers-v1"`
}

// offersFile is the file that --offers names.
type offersFile struct {
	// Offers are rules; the first one that fits an item of a drop rules.
	Offers []edge.Rule `yaml:"offers"`
	// Bands are edges of the churn score within which outcomes are learned apart.
	Bands []float64 `yaml:"bands"`
	// Prior is what is believed of an offer before anybody got it: so many conversions to so many others.
	Prior struct {
		Conversions float64 `yaml:"conversions"`
		Others      float64 `yaml:"others"`
	} `yaml:"prior"`
}

// offers reads the file, if there is one.
func (c *DecideConfig) offers() (edge.OffersConfig, error) {
	out := edge.OffersConfig{Holdout: offer.Holdout{Salt: c.EdgeSalt, BPS: c.EdgeHoldout}}
	if c.Offers == "" {
		return out, nil
	}
	text, err := os.ReadFile(c.Offers)
	if err != nil {
		return out, err
	}
	var file offersFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return out, fmt.Errorf("%s: %w", c.Offers, err)
	}
	out.Rules, out.Bands = file.Offers, file.Bands
	out.Rates.Prior = offer.Beta{A: file.Prior.Conversions, B: file.Prior.Others}
	if err := out.Validate(); err != nil {
		return out, fmt.Errorf("%s: %w", c.Offers, err)
	}
	return out, nil
}

// validate reports every problem at once.
func (c *DecideConfig) validate() error {
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	if c.DecideDeadline <= 0 {
		bad("decide-deadline", "%s is not positive", c.DecideDeadline)
	}
	if c.DecideModel == "" {
		bad("decide-model", "is empty")
	}
	if !(c.DecideBaseRate > 0 && c.DecideBaseRate <= 1) {
		bad("decide-base-rate", "%v is not above 0 and at most 1", c.DecideBaseRate)
	}
	if c.DecideQueue < 1 {
		bad("decide-queue", "%d is not positive", c.DecideQueue)
	}
	if c.DecidePrefetch < 1 || c.DecidePrefetchBytes < 1 {
		bad("decide-prefetch", "neither it nor --decide-prefetch-bytes may be below 1")
	}
	if c.EdgeHoldout > 10_000 {
		bad("edge-holdout", "%d is not between 0 and 10000", c.EdgeHoldout)
	}
	if _, err := c.offers(); err != nil {
		bad("offers", "%v", err)
	}
	return errors.Join(problems...)
}

// decider is how decisions are made with features from source.
func (c *Config) decider(source edge.Source, ttl time.Duration) (edge.Config, error) {
	offers, err := c.DecideConfig.offers()
	if err != nil {
		return edge.Config{}, fmt.Errorf("--offers: %w", err)
	}
	prices, err := c.edgePrices()
	if err != nil {
		return edge.Config{}, err
	}
	cfg := edge.Config{
		Model: c.DecideModel, Features: source, Offers: offers, Deadline: c.DecideDeadline, BaseRate: c.DecideBaseRate, TTLMS: ttl.Milliseconds(),
		Transitions: prefetch.Config{}, PrefetchTop: c.DecidePrefetch, PrefetchBytes: c.DecidePrefetchBytes, Queue: c.DecideQueue,
	}
	if prices != nil {
		cfg.MissPerGB = func(pop string) int64 { return prices.At(pop).Egress }
	}
	return cfg, nil
}
