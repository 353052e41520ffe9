package experiments

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// plan is a drop's experiments as the catalogue has them, ready to judge exposures by.
type plan struct {
	drop        *event.Drop
	experiments []planned
}

// planned is one experiment.
type planned struct {
	*event.Experiment
	design experiment.Design
	// fingerprint tells one design from another.
	fingerprint uint64
	// sound says that there are two variants or more, whose shares are something and not more than everything.
	sound bool
}

func planOf(drop *event.Drop) *plan {
	p := &plan{drop: drop}
	layers := map[string]uint32{}
	for i := range drop.Experiments {
		x := &drop.Experiments[i]
		if p.experiment(x.ID) != nil {
			continue // the first one of a name has it
		}
		e := planned{Experiment: x, design: experiment.Design{ID: x.ID, Salt: x.Salt, Traffic: x.TrafficBPS, Layer: x.Layer}}
		if x.Layer != "" {
			e.design.From = layers[x.Layer]
			layers[x.Layer] += x.TrafficBPS
		}
		total := uint32(0)
		for _, v := range x.Variants {
			e.design.Shares = append(e.design.Shares, v.BPS)
			total += v.BPS
		}
		e.sound = len(x.Variants) > 1 && total > 0 && total <= experiment.Buckets
		e.fingerprint = fingerprint(&e)
		p.experiments = append(p.experiments, e)
	}
	return p
}

func (p *plan) experiment(id string) *planned {
	for i := range p.experiments {
		if p.experiments[i].ID == id {
			return &p.experiments[i]
		}
	}
	return nil
}

// variant is the number of the variant called name, or experiment.None.
func (e *planned) variant(name string) int {
	return slices.IndexFunc(e.Variants, func(v event.Variant) bool { return v.Name == name })
}

// fingerprint covers everything that must stay as it was at the first exposure: also the effect's plausible size, which
// the test fixes beforehand.
func fingerprint(e *planned) uint64 {
	var text []byte
	for _, s := range []string{e.Salt, e.Language, e.Holdout, e.Layer} {
		text = wire.AppendString(text, s)
	}
	text = binary.AppendUvarint(text, uint64(e.TrafficBPS))
	text = binary.AppendUvarint(text, uint64(e.design.From))
	text = wire.AppendFloat(text, e.EffectSD)
	for _, v := range e.Variants {
		text = binary.AppendUvarint(wire.AppendString(text, v.Name), uint64(v.BPS))
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}

func formatDesign(fingerprint uint64) string { return fmt.Sprintf("%016x", fingerprint) }

// plans keeps the plans of the drops last asked about. It is no state: the catalogue says all that it holds.
type plans struct {
	catalogue processors.Catalogue
	known     map[string]*plan
}

// maxPlans bounds the plans kept; many drops at once are made anew each time.
const maxPlans = 256

// of is the plan of a drop, nil when the catalogue does not hold it. id may alias a buffer.
func (p *plans) of(id string) *plan {
	drop := p.catalogue.Drop(id, 0)
	if drop == nil {
		return nil
	}
	if kept := p.known[id]; kept != nil && kept.drop == drop {
		return kept
	}
	if p.known == nil || len(p.known) >= maxPlans {
		p.known = map[string]*plan{}
	}
	made := planOf(drop)
	p.known[string(append([]byte(nil), id...))] = made
	return made
}
